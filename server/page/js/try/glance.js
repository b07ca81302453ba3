// On small screens: the answer in a line at the bottom, while the answer itself is out of sight.

import { byId } from "../dom.js";
import { percent } from "../format.js";

/** Show the line only while the answer cannot be seen; a tap leads there. */
export function startGlance() {
  const line = byId("glance");
  const answer = byId("verdict");
  new IntersectionObserver(([entry]) => line.toggleAttribute("data-away", !entry.isIntersecting)).observe(answer);
  line.addEventListener("click", () => byId("answer-title").scrollIntoView({ block: "center" }));
}

/** @param {import("./answer.js").Result | null} result Screen readers are told elsewhere. */
export function showGlance(result) {
  const line = byId("glance");
  line.hidden = !result;
  if (!result) return;
  line.textContent = `${result.label ?? "Not sure enough"} · ${percent(result.confidence)}`;
  line.dataset.stage = result.trace?.stage ?? "a";
}
