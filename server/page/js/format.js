// Numbers and stages for people. What is no number is shown as a dash.

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * @param {number | null} value
 * @param {number} digits
 */
export function fixed(value, digits) {
  return isNumber(value) ? value.toFixed(digits) : "–";
}

/**
 * @param {number | null} share 0..1
 * @param {number} [digits]
 */
export function percent(share, digits = 0) {
  return isNumber(share) ? `${(100 * share).toFixed(digits)} %` : "–";
}

/** @param {number | null} seconds */
export function duration(seconds) {
  if (!isNumber(seconds)) return "–";
  if (seconds >= 1) return `${seconds.toPrecision(3)} s`;
  if (seconds >= 0.001) return `${(1e3 * seconds).toPrecision(3)} ms`;
  return `${Math.round(1e6 * seconds)} µs`;
}

/** @param {number | null} value */
export function count(value) {
  return isNumber(value) ? Math.round(value).toLocaleString("en") : "–";
}

/** @param {number | null} perSecond */
export function rate(perSecond) {
  return perSecond >= 100 ? count(perSecond) : fixed(perSecond, 1);
}

/**
 * An early exit answers after one of its blocks, which traces call block_1, block_2, ...
 * @param {string} stage
 * @returns {number} The block's number; 0 if the stage is no block.
 */
export function blockNumber(stage) {
  return stage.startsWith("block_") ? Number(stage.slice("block_".length)) : 0;
}

/** @param {string} stage Of a trace: "memory", "a", "b", ..., "block_1", ... */
export function stageName(stage) {
  if (stage === "memory") return "Memory";
  return stage.length === 1 ? `Network ${stage.toUpperCase()}` : `Block ${blockNumber(stage)}`;
}

/** @param {string} name With underscores. */
export function inWords(name) {
  return name.replaceAll("_", " ");
}
