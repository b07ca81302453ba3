// The panel that watches the server work.

import { ask, askJson } from "../api.js";
import { byId } from "../dom.js";
import { showFailure } from "../failure.js";
import { readModels } from "../models.js";
import { figuresByModel } from "./figures.js";
import { History } from "./history.js";
import { MemoryCard } from "./memory.js";
import { showModelTable } from "./model_table.js";
import { parseSamples } from "./prometheus.js";
import { showShares } from "./shares.js";
import { showTiles, startTiles } from "./tiles.js";
import { showWorkers } from "./workers.js";

const EVERY_MS = 2000;

/**
 * Begin to count at once, so that the panel has something to show when it is first looked at.
 * @returns {{show: () => void, hide: () => void}}
 */
export function startLivePanel() {
  const panel = new LivePanel();
  return { show: () => panel.show(true), hide: () => panel.show(false) };
}

class LivePanel {
  history = new History();
  memory = new MemoryCard();
  /** @type {import("../models.js").ModelCard[]} */
  models = [];
  timer = 0;
  shown = false;
  paused = false;

  constructor() {
    startTiles();
    byId("live-model").addEventListener("change", () => this.look());
    byId("live-pause").addEventListener("click", (event) => {
      this.paused = !this.paused;
      event.target.setAttribute("aria-pressed", String(this.paused));
      this.look();
    });
    for (const kind of ["api-key", "server-ready", "memory-cleared"]) window.addEventListener(kind, () => this.look());
    document.addEventListener("visibilitychange", () => this.look());
    this.look();
  }

  /** @param {boolean} shown */
  show(shown) {
    this.shown = shown;
    if (shown) this.look();
  }

  async look() {
    clearTimeout(this.timer);
    if (this.paused || document.hidden) return;
    try {
      const text = await (await ask("metrics")).text();
      this.history.add(performance.now() / 1e3, figuresByModel(parseSamples(text)));
      showFailure(byId("live-failure"), null);
    } catch (error) {
      showFailure(byId("live-failure"), error);
      // Who may not read the figures is not asked again and again behind his back.
      if (!this.shown) return;
    }
    if (this.shown) await this.#show();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), EVERY_MS);
  }

  async #show() {
    const name = byId("live-model").value;
    const rates = this.history.rates(name);
    showTiles(rates);
    showShares(rates.at(-1)?.stages ?? {}, this.history.latest.get(name)?.stages ?? {});
    await Promise.all([this.#showModels(name), showWorkers()]);
  }

  async #showModels(name) {
    try {
      const [models, index] = await Promise.all([readModels(), askJson("v2/repository/index", { method: "POST" })]);
      this.#offer(models);
      showModelTable(index, this.history.latest);
    } catch (error) {
      showFailure(byId("live-failure"), error);
    }
    await this.memory.show(this.#watched(name));
  }

  /** The only cascade with a memory stands for all models. */
  #watched(name) {
    if (name) return this.models.find((model) => model.name === name);
    const remembering = this.models.filter((model) => model.cascade?.memory);
    return remembering.length === 1 ? remembering[0] : undefined;
  }

  /** @param {import("../models.js").ModelCard[]} models */
  #offer(models) {
    this.models = models;
    const select = byId("live-model");
    const names = ["", ...models.map((model) => model.name)];
    if (names.join() === [...select.options].map((option) => option.value).join()) return;
    const before = select.value;
    select.replaceChildren(...names.map((name) => new Option(name || "All models", name)));
    select.value = names.includes(before) ? before : "";
  }
}
