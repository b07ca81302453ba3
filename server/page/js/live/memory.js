// The result memory of the cascade that is watched, and how to clear it.

import { ask, askJson } from "../api.js";
import { byId, element } from "../dom.js";
import { count } from "../format.js";

const NAMES = {
  entries: "Results held", lookups: "Lookups", hits: "Hits", verified: "Near duplicates accepted",
  rejected: "Near duplicates refused", stored: "Stored", not_stored: "Not stored", evicted: "Pushed out",
  expired: "Too old", skipped: "Skipped",
};

export class MemoryCard {
  /** Name of the cascade; empty: none is watched. */
  #model = "";

  constructor() {
    const dialog = byId("clear-dialog");
    byId("memory-clear").addEventListener("click", () => {
      byId("clear-text").textContent = `Everything that ${this.#model} remembers is forgotten, in all workers and for everybody.`;
      dialog.returnValue = "cancel";
      dialog.showModal();
    });
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "clear") this.#clear(this.#model);
    });
  }

  /** @param {import("../models.js").ModelCard | undefined} model */
  async show(model) {
    const name = model?.cascade?.memory ? model.name : "";
    if (name !== this.#model) byId("memory-said").textContent = "";
    this.#model = name;
    byId("memory-clear").disabled = !name;
    if (!name) {
      byId("memory-counters").replaceChildren();
      byId("memory-note").textContent = model
        ? `${model.name} has no result memory.`
        : "Choose a cascade above to see its memory.";
      return;
    }
    try {
      this.#showCounters(await askJson(`v1/memory/${encodeURIComponent(name)}`));
    } catch (error) {
      byId("memory-counters").replaceChildren();
      byId("memory-note").textContent = error.message;
      byId("memory-clear").disabled = true;
    }
  }

  #showCounters({ model, shared, counters }) {
    byId("memory-note").textContent = shared
      ? `${model}: all workers share it.`
      : `${model}: each worker has its own; these are the figures of the one that answered.`;
    byId("memory-counters").replaceChildren(
      ...Object.entries(NAMES).map(([key, title]) =>
        element("div", { "data-counter": key }, element("dt", {}, title), element("dd", {}, count(counters[key]))),
      ),
    );
  }

  async #clear(name) {
    const said = byId("memory-said");
    try {
      await ask(`v1/memory/${encodeURIComponent(name)}`, { method: "DELETE" });
      said.textContent = `${name} has forgotten everything.`;
    } catch (error) {
      said.textContent = error.message;
    }
    window.dispatchEvent(new Event("memory-cleared"));
  }
}
