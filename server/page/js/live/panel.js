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

/** @returns {{show: () => void, hide: () => void}} */
export function startLivePanel() {
  const panel = new LivePanel();
  return { show: () => panel.run(true), hide: () => panel.run(false) };
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
      event.target.textContent = this.paused ? "Go on" : "Pause";
      this.look();
    });
    for (const kind of ["api-key", "server-ready", "memory-cleared"]) window.addEventListener(kind, () => this.look());
    document.addEventListener("visibilitychange", () => this.look());
  }

  /** @param {boolean} shown Nothing is asked for while nobody looks. */
  run(shown) {
    this.shown = shown;
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    if (!this.shown || this.paused || document.hidden) return;
    try {
      await this.#read();
      showFailure(byId("live-failure"), null);
    } catch (error) {
      showFailure(byId("live-failure"), error);
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), EVERY_MS);
  }

  async #read() {
    const [text, models, index] = await Promise.all([
      ask("metrics").then((answer) => answer.text()),
      readModels(),
      askJson("v2/repository/index", { method: "POST" }),
      showWorkers(),
    ]);
    this.history.add(performance.now() / 1e3, figuresByModel(parseSamples(text)));
    this.#offer(models);
    const name = byId("live-model").value;
    const rates = this.history.rates(name);
    showTiles(rates);
    showShares(rates.at(-1).stages, this.history.latest.get(name)?.stages ?? {});
    showModelTable(index, this.history.latest);
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
