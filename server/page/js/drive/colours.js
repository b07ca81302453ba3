// Colours of the player.

/** Where nothing special happens it is quiet; network A, B and their mixture keep their colours. */
const BRANCHES = {
  none: "var(--line)", second_opinion_a: "var(--line)", second_opinion_blend: "var(--memory)",
  second_opinion_a_surer: "var(--a)", second_opinion_b_surer: "var(--b)",
  second_opinion_b_both_unsure: "var(--bad)", second_opinion_b_held: "var(--good)",
};
const OTHER_BRANCHES = ["var(--a)", "var(--b)", "var(--memory)", "var(--good)", "var(--bad)", "var(--line-strong)"];

const STOPS = [[196, 52, 60], [226, 148, 38], [44, 148, 104]];

/**
 * @param {number} confidence 0..1; NaN: there is none.
 * @returns {string} From red over amber to green.
 */
export function confidenceColour(confidence) {
  if (!Number.isFinite(confidence)) return "var(--line-strong)";
  // What is calibrated seldom falls below 0.3 for eleven classes.
  const scaled = Math.min(1, Math.max(0, (confidence - 0.3) / 0.7)) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(scaled));
  const mixed = STOPS[low].map((value, k) => Math.round(value + (STOPS[low + 1][k] - value) * (scaled - low)));
  return `rgb(${mixed.join(" ")})`;
}

/**
 * @param {string} branch Name of a branch of the correction rule.
 * @returns {string} In words.
 */
export function branchInWords(branch) {
  return branch.replace(/^second_opinion_/, "").replaceAll("_", " ").replace(/\b([ab])\b/g, (letter) => letter.toUpperCase());
}

/**
 * @param {string} branch Name of a branch of the correction rule.
 * @param {number} place Among the branches of its episode.
 * @returns {string} Its colour.
 */
export function branchColour(branch, place) {
  return BRANCHES[branch] ?? OTHER_BRANCHES[place % OTHER_BRANCHES.length];
}
