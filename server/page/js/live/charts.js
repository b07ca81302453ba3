// The figures of the last minutes: tiles with a line each, and a bar of who answered.

import { byId, element, svg } from "../dom.js";
import { blockNumber, count, duration, percent, rate, stageName } from "../format.js";
import { total } from "./figures.js";

const WIDTH = 200, HEIGHT = 44, MAX_POINTS = 60;

/** @type {{id: string, title: string, unit: string, of: keyof import("./figures.js").Rates, shown: (value: any) => string}[]} */
const TILES = [
  { id: "throughput", title: "Requests", unit: "a second", of: "requestsPerS", shown: rate },
  { id: "median", title: "Latency", unit: "median", of: "medianS", shown: duration },
  { id: "p99", title: "Latency", unit: "99 % are faster", of: "p99S", shown: duration },
  { id: "queue", title: "Queue", unit: "requests wait", of: "waiting", shown: count },
  { id: "hits", title: "Memory", unit: "of lookups hit", of: "hitRate", shown: percent },
  { id: "failures", title: "Refused or failed", unit: "a second", of: "failuresPerS", shown: rate },
];

/** @param {import("./figures.js").Rates[]} rates The latest ones last; none: the tiles are empty. */
export function showTiles(rates) {
  byId("tiles").replaceChildren(
    ...TILES.map(({ id, title, unit, of, shown }) =>
      element("section", { class: "card tile", id: `tile-${id}` },
        element("h2", {}, title),
        element("p", {}, element("strong", { class: "tile-value" }, shown(rates.at(-1)?.[of] ?? null)), element("span", { class: "muted small" }, ` ${unit}`)),
        element("div", { class: "tile-line" }, sparkline(rates.map((one) => one[of]))),
      ),
    ),
  );
}

/** A line of values, with gaps where they are null. */
function sparkline(values) {
  const shown = values.slice(-MAX_POINTS);
  const highest = Math.max(...shown, 1e-9);
  const x = (place) => (WIDTH - ((shown.length - 1 - place) * WIDTH) / (MAX_POINTS - 1)).toFixed(1);
  const y = (value) => (HEIGHT - 3 - (value / highest) * (HEIGHT - 8)).toFixed(1);
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "sparkline", "aria-hidden": "true" });
  for (let first = 0, last; first < shown.length; first = last + 1) {
    last = shown.indexOf(null, first);
    if (last < 0) last = shown.length;
    if (last === first) continue;
    const line = shown.slice(first, last).map((value, place) => `${x(first + place)} ${y(value)}`).join("L");
    root.append(
      svg("path", { class: "sparkline-area", d: `M${x(first)} ${HEIGHT}L${line}L${x(last - 1)} ${HEIGHT}z` }),
      svg("path", { class: "sparkline-line", d: `M${line}`, "vector-effect": "non-scaling-stroke" }),
    );
  }
  return root;
}

/**
 * @param {Record<string, number>} lately Pictures by who answered, in the window.
 * @param {Record<string, number>} ever Since the server started.
 */
export function showShares(lately, ever) {
  byId("shares").replaceChildren(
    ...(total(ever)
      ? [block("Last 30 seconds", lately), block("Since the server started", ever)]
      : [element("p", { class: "muted" }, "No cascade has answered yet.")]),
  );
}

function block(title, counts) {
  const all = total(counts);
  const bar = element("div", { class: "share-bar", "aria-hidden": "true" });
  const list = element("ul", { class: "share-list" });
  for (const stage of stagesOf(counts)) {
    const share = all ? (counts[stage] ?? 0) / all : null;
    const part = element("span", { class: "share", "data-stage": stage });
    part.style.flexGrow = String(share ?? 0);
    bar.append(part);
    list.append(
      element("li", { "data-stage": stage },
        element("span", { class: "share-key", "aria-hidden": "true" }),
        `${stageName(stage)} `, element("strong", {}, percent(share)), element("span", { class: "muted" }, ` ${count(counts[stage] ?? 0)}`),
      ),
    );
  }
  return element("div", { class: "share-block" }, element("h3", {}, title), bar, list);
}

/** The usual three and further networks; of early exits, which have blocks instead, what has answered. */
function stagesOf(counts) {
  const blocks = Object.keys(counts).filter(blockNumber).sort((one, other) => blockNumber(one) - blockNumber(other));
  const further = Object.keys(counts).filter((stage) => stage.length === 1 && stage > "b").sort();
  const usual = ["memory", "a", "b", ...further];
  return [...(blocks.length ? usual.filter((stage) => counts[stage]) : usual), ...blocks];
}
