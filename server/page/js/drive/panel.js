// The panel of drives that go on now with an agent of this server.

import { address, askJson, eventsOf, showFailure } from "../api.js";
import { byId, offer } from "../dom.js";
import { inWords } from "../format.js";
import { DriveView } from "./view.js";

/** @returns {{show: () => void, hide: () => void}} Nothing is asked for while nobody looks. */
export function startDrivePanel() {
  const panel = new DrivePanel();
  return { show: () => panel.offerAgents(), hide: () => panel.stop() };
}

class DrivePanel {
  /** @type {AbortController | null} Ends the watching; null: nothing is watched. */
  #watching = null;
  /** @type {Map<string, import("./view.js").LiveTick>} The latest tick of every drive. */
  #ticks = new Map();
  #view = new DriveView(byId("drive-view"));

  constructor() {
    for (const kind of ["api-key", "server-ready"]) window.addEventListener(kind, () => this.offerAgents());
    byId("watch").addEventListener("click", () => (this.#watching ? this.stop() : this.#watch()));
    byId("driver").addEventListener("change", () => {
      this.stop();
      this.#showCommand();
    });
    byId("stream").addEventListener("change", () => this.#show());
  }

  async offerAgents() {
    try {
      const agents = (await askJson("v1/models")).filter(({ kind }) => kind === "agent");
      offer(byId("driver"), new Map(agents.map(({ name }) => [name, name])));
      byId("driver").disabled = byId("watch").disabled = agents.length === 0;
      byId("watch-said").textContent ||= agents.length ? "" : "This server has no driving agent.";
      this.#showCommand();
      showFailure(byId("watch-failure"), null);
    } catch (error) {
      showFailure(byId("watch-failure"), error);
    }
  }

  /** @param {string} [why] What people are told. */
  stop(why = "") {
    this.#watching?.abort();
    this.#watching = null;
    this.#ticks.clear();
    byId("stream-field").hidden = true;
    this.#say(why);
    this.#showButton();
  }

  async #watch() {
    const agent = byId("driver").value;
    const watching = (this.#watching = new AbortController());
    this.#showButton();
    this.#say(`Nobody drives with ${agent} at the moment. It is shown here as soon as somebody does.`);
    showFailure(byId("watch-failure"), null);
    try {
      for await (const { kind, data } of eventsOf(`v1/drive/${encodeURIComponent(agent)}/live`, watching.signal)) {
        if (kind === "tick") this.#tick(data);
        else if (kind === "end") this.#end(data.stream);
      }
      this.stop("The server has ended the connection.");
    } catch (error) {
      if (watching.signal.aborted) return;
      this.stop();
      showFailure(byId("watch-failure"), error);
    }
  }

  /** @param {import("./view.js").LiveTick} tick */
  #tick(tick) {
    const isNew = !this.#ticks.has(tick.stream);
    this.#ticks.set(tick.stream, tick);
    if (isNew) this.#offerDrives();
    if (byId("stream").value === tick.stream) this.#show();
  }

  #end(stream) {
    const tick = this.#ticks.get(stream);
    this.#ticks.delete(stream);
    if (tick) this.#say(`The drive of ${inWords(tick.route)} is over.`);
    this.#offerDrives();
    this.#show();
  }

  #offerDrives() {
    const drives = [...this.#ticks.values()].map(({ stream, route, town }) => [stream, `${town}, ${inWords(route)}`]);
    offer(byId("stream"), new Map(drives));
    byId("stream-field").hidden = drives.length < 2;
    if (drives.length) this.#say(drives.length === 1 ? "One drive goes on." : `${drives.length} drives go on.`);
  }

  #show() {
    const tick = this.#ticks.get(byId("stream").value);
    if (tick) this.#view.show(tick);
  }

  #showButton() {
    const watched = Boolean(this.#watching);
    byId("watch").textContent = watched ? "Stop" : "Watch";
    byId("watch").setAttribute("aria-pressed", String(watched));
  }

  #showCommand() {
    const agent = byId("driver").value;
    byId("watch-command").hidden = byId("driver").disabled;
    byId("watch-command").textContent = `bicameral evaluate --agent ${address(`v1/drive/${encodeURIComponent(agent)}`)}`;
  }

  #say(text) {
    byId("watch-said").textContent = text;
  }
}
