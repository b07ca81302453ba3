// A small line of the last minutes.

import { svg } from "../dom.js";

const WIDTH = 200, HEIGHT = 44, MAX_POINTS = 60;

/**
 * @param {(number | null)[]} values The latest one last; null: nothing to show.
 * @returns {SVGElement}
 */
export function sparkline(values) {
  const shown = values.slice(-MAX_POINTS);
  const highest = Math.max(...shown.map((value) => value ?? 0), 1e-9);
  const x = (place) => WIDTH - (shown.length - 1 - place) * (WIDTH / (MAX_POINTS - 1));
  const y = (value) => HEIGHT - 3 - (value / highest) * (HEIGHT - 8);
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "sparkline", "aria-hidden": "true" });
  for (const run of runsOf(shown)) {
    const points = run.map(([place, value]) => `${x(place).toFixed(1)} ${y(value).toFixed(1)}`);
    const first = x(run[0][0]).toFixed(1), last = x(run.at(-1)[0]).toFixed(1);
    root.append(
      svg("path", { class: "sparkline-area", d: `M${first} ${HEIGHT}L${points.join("L")}L${last} ${HEIGHT}z` }),
      svg("path", { class: "sparkline-line", d: `M${points.join("L")}`, "vector-effect": "non-scaling-stroke" }),
    );
  }
  return root;
}

/** @returns {[number, number][][]} Places and values without a gap between them. */
function runsOf(values) {
  const runs = [];
  let open = false;
  values.forEach((value, place) => {
    if (value === null) return (open = false);
    if (!open) runs.push([]);
    open = true;
    runs.at(-1).push([place, value]);
  });
  return runs;
}
