// What the server counted, of one model or of all, and how fast it went lately.

/** How long figures are kept, and over how long rates and quantiles are taken. */
const KEPT_S = 150, WINDOW_S = 30;

/**
 * @typedef {object} Counts Numbers by name, in which further ones may be nested.
 *
 * @typedef {object} LiveModel One version, as `/v1/live` tells it.
 * @property {string} name
 * @property {string} version
 * @property {string} state
 * @property {string} reason
 * @property {Record<string, number>} requests By outcome.
 * @property {number[]} durations Requests by bucket.
 * @property {number} waiting
 * @property {number} rows
 * @property {number} runs
 * @property {Record<string, number>} stages Pictures by who answered.
 * @property {Record<string, number> | null} memory
 * @property {boolean} memory_shared
 *
 * @typedef {object} Live The answer of `/v1/live`.
 * @property {number[]} bounds_s Upper bounds of the durations' buckets.
 * @property {LiveModel[]} models
 * @property {{ready: boolean, reason: string, workers: {pid: number}[]}} workers
 */

/**
 * @param {LiveModel[]} models
 * @returns {Counts} Their figures together.
 */
export function sumOf(models) {
  const nothing = { requests: {}, durations: {}, waiting: 0, rows: 0, runs: 0, stages: {}, memory: { lookups: 0, hits: 0 } };
  return models.reduce((sum, { requests, durations, waiting, rows, runs, stages, memory }) => {
    const { lookups = 0, hits = 0 } = memory ?? {};
    return combined(sum, { requests, durations, waiting, rows, runs, stages, memory: { lookups, hits } }, 1);
  }, nothing);
}

/** Add the right counts to the left ones, or take them away. */
function combined(left, right, sign) {
  if (typeof (left ?? right) === "number") return (left ?? 0) + sign * (right ?? 0);
  const names = Object.keys({ ...left, ...right });
  return Object.fromEntries(names.map((name) => [name, combined(left?.[name], right?.[name], sign)]));
}

/** @param {Record<string, number>} counts */
export function total(counts) {
  return Object.values(counts).reduce((sum, value) => sum + value, 0);
}

/** @param {Counts} figures */
export function failures({ requests }) {
  return total(requests) - (requests.success ?? 0);
}

/**
 * Interpolate within a bucket, as Prometheus' `histogram_quantile` does.
 * @param {Counts} figures
 * @param {number[]} boundsS Upper bounds of the buckets.
 * @param {number} share 0..1
 * @returns {number | null} Seconds; null: there were no requests.
 */
export function quantile({ durations }, boundsS, share) {
  let rank = share * total(durations);
  if (rank <= 0) return null;
  for (const [place, boundS] of boundsS.entries()) {
    const lowS = place ? boundsS[place - 1] : 0;
    if (rank <= durations[place]) return lowS + ((boundS - lowS) * rank) / durations[place];
    rank -= durations[place];
  }
  // Above the highest bound nothing more is known.
  return boundsS.at(-1);
}

/**
 * @typedef {object} Rates Null: nothing happened in the window.
 * @property {number | null} requestsPerS
 * @property {number | null} failuresPerS Refused or failed.
 * @property {number | null} medianS
 * @property {number | null} p99S
 * @property {number} waiting
 * @property {number | null} hitRate 0..1
 * @property {Record<string, number>} stages
 */

/** The last minutes. */
export class History {
  /** @type {{atS: number, live: Live}[]} */
  #points = [];

  /**
   * @param {number} atS
   * @param {Live} live
   */
  add(atS, live) {
    const answered = ({ models }) => total(sumOf(models).requests);
    // Another server, or one that was started anew.
    if (this.latest && answered(live) < answered(this.latest)) this.#points = [];
    this.#points.push({ atS, live });
    this.#points = this.#points.filter((point) => point.atS >= atS - KEPT_S);
  }

  /** @returns {Live | undefined} */
  get latest() {
    return this.#points.at(-1)?.live;
  }

  /**
   * @param {string} name Of a model, all versions together; empty: all models.
   * @returns {Rates[]} At every point in time, the latest one last.
   */
  rates(name) {
    const points = this.#points.map(({ atS, live }) => ({
      atS, boundsS: live.bounds_s, figures: sumOf(live.models.filter((model) => !name || model.name === name)),
    }));
    return points.map((now) => ratesBetween(points.find(({ atS }) => atS >= now.atS - WINDOW_S), now));
  }
}

/** @returns {Rates} */
function ratesBetween(then, now) {
  const passedS = now.atS - then.atS;
  const happened = combined(now.figures, then.figures, -1);
  const { lookups, hits } = happened.memory;
  return {
    requestsPerS: passedS ? total(happened.requests) / passedS : null,
    failuresPerS: passedS ? failures(happened) / passedS : null,
    medianS: quantile(happened, now.boundsS, 0.5),
    p99S: quantile(happened, now.boundsS, 0.99),
    waiting: now.figures.waiting,
    hitRate: lookups ? hits / lookups : null,
    stages: happened.stages,
  };
}
