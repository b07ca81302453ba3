// The last minutes of what the server counted.

import { between, quantile, total } from "./figures.js";

/** How long figures are kept, and over how long rates and quantiles are taken. */
const KEPT_S = 150;
const WINDOW_S = 30;

/**
 * @typedef {object} Rates Null: nothing happened in the window.
 * @property {number | null} requestsPerS
 * @property {number | null} failuresPerS Refused or failed.
 * @property {number | null} medianS
 * @property {number | null} p99S
 * @property {number} queueDepth
 * @property {number | null} hitRate 0..1
 * @property {Record<string, number>} stages
 */

export class History {
  /** @type {{atS: number, byModel: Map<string, import("./figures.js").Figures>}[]} */
  #points = [];

  /**
   * @param {number} atS
   * @param {Map<string, import("./figures.js").Figures>} byModel
   */
  add(atS, byModel) {
    const last = this.#points.at(-1);
    // Another server, or one that was started anew.
    if (last && total(byModel.get("").requests) < total(last.byModel.get("").requests)) this.#points = [];
    this.#points.push({ atS, byModel });
    this.#points = this.#points.filter((point) => point.atS >= atS - KEPT_S);
  }

  /** @returns {Map<string, import("./figures.js").Figures>} */
  get latest() {
    return this.#points.at(-1)?.byModel ?? new Map();
  }

  /**
   * @param {string} model
   * @returns {Rates[]} At every point in time, the latest one last.
   */
  rates(model) {
    return this.#points.map((_, place) => this.#ratesAt(place, model));
  }

  #ratesAt(place, model) {
    const now = this.#points[place];
    const then = this.#points.find((point) => point.atS >= now.atS - WINDOW_S);
    const after = now.byModel.get(model);
    const before = then.byModel.get(model);
    const passedS = now.atS - then.atS;
    if (!after || passedS <= 0) {
      return { requestsPerS: null, failuresPerS: null, medianS: null, p99S: null, queueDepth: after?.queueDepth ?? 0, hitRate: null, stages: {} };
    }
    // A model that was not counted then had counted nothing.
    const happened = before ? between(after, before) : after;
    const lookups = total(happened.lookups);
    return {
      requestsPerS: total(happened.requests) / passedS,
      failuresPerS: (total(happened.requests) - (happened.requests.success ?? 0)) / passedS,
      medianS: quantile(happened.duration, 0.5),
      p99S: quantile(happened.duration, 0.99),
      queueDepth: happened.queueDepth,
      hitRate: lookups ? (happened.lookups.hit ?? 0) / lookups : null,
      stages: happened.stages,
    };
  }
}
