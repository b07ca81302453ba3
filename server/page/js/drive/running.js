// Drives that go on now, watched.

import { address } from "../api.js";
import { byId } from "../dom.js";
import { showFailure } from "../failure.js";
import { readModels } from "../models.js";
import { eventsOf } from "./event_stream.js";
import { LiveView } from "./live_view.js";

export class RunningDrives {
  /** Ends the watching; null: nothing is watched. */
  #watching = null;
  /** @type {Map<string, import("./live_view.js").LiveTick>} The latest tick of every drive. */
  #ticks = new Map();
  /** @type {LiveView | null} */
  #view = null;

  /** @param {() => void} onBegin Called before something is shown in the player's place. */
  constructor(onBegin) {
    this.onBegin = onBegin;
    byId("watch").addEventListener("click", () => (this.#watching ? this.stop() : this.#watch()));
    byId("driver").addEventListener("change", () => {
      this.stop();
      this.#showCommand();
    });
    byId("stream").addEventListener("change", () => this.#show());
  }

  /** Ask which agents there are. */
  async offer() {
    const select = byId("driver");
    try {
      const agents = (await readModels()).filter((model) => model.kind === "agent").map((model) => model.name);
      if (agents.join() !== [...select.options].map((option) => option.value).join()) {
        select.replaceChildren(...agents.map((name) => new Option(name, name)));
      }
      select.disabled = byId("watch").disabled = agents.length === 0;
      byId("watch-said").textContent ||= agents.length ? "" : "This server has no driving agent.";
      this.#showCommand();
      showFailure(byId("watch-failure"), null);
    } catch (error) {
      showFailure(byId("watch-failure"), error);
    }
  }

  stop() {
    this.#watching?.abort();
    this.#watching = null;
    this.#ticks.clear();
    byId("stream-field").hidden = true;
    this.#say("");
    this.#showButton();
  }

  async #watch() {
    const agent = byId("driver").value;
    const watching = (this.#watching = new AbortController());
    this.#view = null;
    this.#showButton();
    this.#say(`Nobody drives with ${agent} at the moment. It is shown here as soon as somebody does.`);
    showFailure(byId("watch-failure"), null);
    try {
      for await (const { kind, data } of eventsOf(`v1/drive/${encodeURIComponent(agent)}/live`, watching.signal)) {
        if (kind === "tick") this.#tick(JSON.parse(data));
        else if (kind === "end") this.#end(JSON.parse(data).stream);
      }
      this.stop();
      this.#say("The server has ended the connection.");
    } catch (error) {
      if (watching.signal.aborted) return;
      this.stop();
      showFailure(byId("watch-failure"), error);
    }
  }

  /** @param {import("./live_view.js").LiveTick} tick */
  #tick(tick) {
    const isNew = !this.#ticks.has(tick.stream);
    this.#ticks.set(tick.stream, tick);
    if (isNew) this.#offerStreams();
    if (byId("stream").value === tick.stream) this.#show();
  }

  #end(stream) {
    const tick = this.#ticks.get(stream);
    this.#ticks.delete(stream);
    this.#offerStreams();
    if (tick) this.#say(`The drive of ${tick.route.replaceAll("_", " ")} is over.`);
    this.#show();
  }

  #offerStreams() {
    const select = byId("stream");
    const before = select.value;
    select.replaceChildren(...[...this.#ticks.values()].map(({ stream, route, town }) => new Option(`${town}, ${route.replaceAll("_", " ")}`, stream)));
    if (this.#ticks.has(before)) select.value = before;
    byId("stream-field").hidden = this.#ticks.size < 2;
    if (this.#ticks.size) this.#say(this.#ticks.size === 1 ? "One drive goes on." : `${this.#ticks.size} drives go on.`);
  }

  #show() {
    const tick = this.#ticks.get(byId("stream").value);
    if (!tick) return;
    if (!this.#view) {
      this.onBegin();
      this.#view = new LiveView(byId("player"));
    }
    this.#view.show(tick);
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
