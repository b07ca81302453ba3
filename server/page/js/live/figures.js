// What the server counted, by model: sums since it started.

import { numberOf } from "./prometheus.js";

/**
 * @typedef {object} Figures
 * @property {Record<string, number>} requests By outcome.
 * @property {Map<number, number>} duration Requests that took no longer than a bound in seconds.
 * @property {number} queueDepth
 * @property {number} rows Computed rows.
 * @property {number} runs Runs that computed them.
 * @property {Record<string, number>} stages Pictures by who answered.
 * @property {Record<string, number>} lookups Pictures by the memory's answer.
 */

/** @returns {Figures} */
function nothing() {
  return { requests: {}, duration: new Map(), queueDepth: 0, rows: 0, runs: 0, stages: {}, lookups: {} };
}

/**
 * @param {import("./prometheus.js").Sample[]} samples
 * @returns {Map<string, Figures>} By model, all versions together; "" holds all models.
 */
export function figuresByModel(samples) {
  /** @type {Map<string, Figures>} */
  const byModel = new Map([["", nothing()]]);
  for (const sample of samples) {
    const model = sample.labels.model;
    if (model === undefined) continue;
    if (!byModel.has(model)) byModel.set(model, nothing());
    add(byModel.get(model), sample);
    add(byModel.get(""), sample);
  }
  return byModel;
}

function add(figures, { name, labels, value }) {
  const addTo = (counts, key) => (counts[key] = (counts[key] ?? 0) + value);
  switch (name) {
    case "inference_requests_total": return addTo(figures.requests, labels.outcome);
    case "inference_request_duration_seconds_bucket": {
      const bound = numberOf(labels.le);
      return figures.duration.set(bound, (figures.duration.get(bound) ?? 0) + value);
    }
    case "inference_queue_depth": return (figures.queueDepth += value);
    case "inference_batch_size_sum": return (figures.rows += value);
    case "inference_batch_size_count": return (figures.runs += value);
    case "cascade_stage_total": return addTo(figures.stages, labels.stage);
    case "result_memory_lookups_total": return addTo(figures.lookups, labels.result);
  }
}

/** @param {Record<string, number>} counts */
export function total(counts) {
  return Object.values(counts).reduce((sum, value) => sum + value, 0);
}

/**
 * @param {Figures} after
 * @param {Figures} before
 * @returns {Figures} What happened in between; the queue is that of `after`.
 */
export function between(after, before) {
  const less = (now, then) => Object.fromEntries(Object.entries(now).map(([key, value]) => [key, value - (then[key] ?? 0)]));
  return {
    requests: less(after.requests, before.requests),
    duration: new Map([...after.duration].map(([bound, value]) => [bound, value - (before.duration.get(bound) ?? 0)])),
    queueDepth: after.queueDepth,
    rows: after.rows - before.rows,
    runs: after.runs - before.runs,
    stages: less(after.stages, before.stages),
    lookups: less(after.lookups, before.lookups),
  };
}

/**
 * Interpolate within a bucket, as Prometheus' `histogram_quantile` does.
 * @param {Map<number, number>} duration
 * @param {number} share 0..1
 * @returns {number | null} Seconds; null: there were no requests.
 */
export function quantile(duration, share) {
  const bounds = [...duration.keys()].sort((left, right) => left - right);
  const all = duration.get(Infinity) ?? 0;
  if (all <= 0) return null;
  const rank = share * all;
  const place = bounds.findIndex((bound) => duration.get(bound) >= rank);
  // Above the highest bound nothing more is known.
  if (bounds[place] === Infinity) return bounds[place - 1] ?? null;
  const low = place ? bounds[place - 1] : 0;
  const below = place ? duration.get(bounds[place - 1]) : 0;
  const within = duration.get(bounds[place]) - below;
  return within > 0 ? low + ((bounds[place] - low) * (rank - below)) / within : bounds[place];
}
