// The panel that watches the server work.

import { askJson, showFailure } from "../api.js";
import { byId, element, offer } from "../dom.js";
import { showShares, showTiles } from "./charts.js";
import { History, sumOf } from "./figures.js";
import { MemoryCard } from "./memory.js";
import { ModelTable } from "./models.js";

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
  memory = new MemoryCard(() => this.look());
  table = new ModelTable(() => this.look());
  timer = 0;
  shown = false;
  paused = false;

  constructor() {
    showTiles([]);
    byId("live-model").addEventListener("change", () => this.look());
    byId("live-pause").addEventListener("click", (event) => {
      this.paused = !this.paused;
      event.target.setAttribute("aria-pressed", String(this.paused));
      this.look();
    });
    for (const kind of ["api-key", "server-ready"]) window.addEventListener(kind, () => this.look());
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
      this.history.add(performance.now() / 1e3, await askJson("v1/live"));
      showFailure(byId("live-failure"), null);
      if (this.shown) this.#show();
    } catch (error) {
      showFailure(byId("live-failure"), error);
      // Who may not read the figures is not asked again and again behind his back.
      if (!this.shown) return;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), EVERY_MS);
  }

  #show() {
    const { bounds_s: boundsS, models, workers } = this.history.latest;
    const answering = models.filter(({ state }) => state === "READY");
    offer(byId("live-model"), new Map([["", "All models"], ...answering.map(({ name }) => [name, name])]));
    const name = byId("live-model").value;
    const rates = this.history.rates(name);
    showTiles(rates);
    showShares(rates.at(-1).stages, sumOf(models.filter((model) => !name || model.name === name)).stages);
    this.table.show(models, boundsS);
    byId("workers").replaceChildren(...workerItems(workers));
    this.memory.show(models, name);
  }
}

/** The processes that answer, and why the one that was asked does not. */
function workerItems({ ready, reason, workers }) {
  const items = workers.map(({ pid }, index) => workerItem(`Worker ${index + 1}`, ` process ${pid}`));
  return ready ? items : [workerItem("Not ready", "", reason), ...items];
}

function workerItem(title, more, problem = "") {
  return element("li", { class: "worker", "data-good": !problem },
    element("strong", {}, title), element("span", { class: "muted" }, more),
    ...(problem ? [element("p", { class: "small" }, problem)] : []));
}
