// The result memory of the cascade that is watched, and how to clear it.

import { ask } from "../api.js";
import { confirmed } from "../confirm.js";
import { byId, element } from "../dom.js";
import { count } from "../format.js";

const NAMES = {
  entries: "Results held", lookups: "Lookups", hits: "Hits", verified: "Near duplicates accepted",
  rejected: "Near duplicates refused", stored: "Stored", not_stored: "Not stored", evicted: "Pushed out",
  expired: "Too old", skipped: "Skipped", suspended: "Only the same pixels looked for",
};

export class MemoryCard {
  /** Name of the cascade; empty: none is watched. */
  #model = "";

  /** @param {() => void} onClear */
  constructor(onClear) {
    byId("memory-clear").addEventListener("click", async () => {
      const model = this.#model;
      const text = `Everything that ${model} remembers is forgotten, in all workers and for everybody.`;
      if (!(await confirmed("Clear the memory?", text, "Clear it"))) return;
      byId("memory-said").textContent = await cleared(model);
      onClear();
    });
  }

  /**
   * @param {import("./figures.js").LiveModel[]} models
   * @param {string} name Of the model that is watched; empty: all are.
   */
  show(models, name) {
    const remembering = models.filter((model) => model.memory && model.state === "READY" && (!name || model.name === name));
    // The only cascade with a memory stands for all models.
    const watched = name || remembering.length === 1 ? remembering.at(-1) : undefined;
    if (this.#model !== (watched?.name ?? "")) byId("memory-said").textContent = "";
    this.#model = watched?.name ?? "";
    byId("memory-clear").disabled = !watched;
    byId("memory-note").textContent = noteOf(watched, name);
    const counters = watched ? Object.entries(NAMES) : [];
    byId("memory-counters").replaceChildren(
      ...counters.map(([key, title]) =>
        element("div", { "data-counter": key }, element("dt", {}, title), element("dd", {}, count(watched.memory[key]))),
      ),
    );
  }
}

function noteOf(watched, name) {
  if (!watched) return name ? `${name} has no result memory.` : "Choose a cascade above to see its memory.";
  return `${watched.name}: ${watched.memory_shared ? "all workers share it" : "each worker has its own; these are the sums over all"}.`;
}

/** @returns {Promise<string>} What became of it. */
async function cleared(name) {
  try {
    await ask(`v1/memory/${encodeURIComponent(name)}`, { method: "DELETE" });
    return `${name} has forgotten everything.`;
  } catch (error) {
    return error.message;
  }
}
