// Numbers for people.

/**
 * @param {number | null} value 0..1
 * @param {number} [digits]
 */
export function percent(value, digits = 0) {
  return isNumber(value) ? `${(100 * value).toFixed(digits)} %` : "–";
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
  if (!isNumber(perSecond)) return "–";
  return perSecond >= 100 ? count(perSecond) : perSecond.toFixed(1);
}

/**
 * @param {number | null} value
 * @param {number} digits
 */
export function fixed(value, digits) {
  return isNumber(value) ? value.toFixed(digits) : "–";
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}
