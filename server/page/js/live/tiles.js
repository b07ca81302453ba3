// The figures at the top of the panel.

import { byId, element } from "../dom.js";
import { count, duration, percent, rate } from "../format.js";
import { sparkline } from "./sparkline.js";

/** @type {{id: string, title: string, unit: string, of: keyof import("./history.js").Rates, shown: (value: any) => string}[]} */
const TILES = [
  { id: "throughput", title: "Requests", unit: "a second", of: "requestsPerS", shown: rate },
  { id: "median", title: "Latency", unit: "median", of: "medianS", shown: duration },
  { id: "p99", title: "Latency", unit: "99 % are faster", of: "p99S", shown: duration },
  { id: "queue", title: "Queue", unit: "requests wait", of: "queueDepth", shown: count },
  { id: "hits", title: "Memory", unit: "of lookups hit", of: "hitRate", shown: percent },
  { id: "failures", title: "Refused or failed", unit: "a second", of: "failuresPerS", shown: rate },
];

/** Make them, empty. */
export function startTiles() {
  byId("tiles").replaceChildren(
    ...TILES.map(({ id, title, unit }) =>
      element(
        "section", { class: "card tile", id: `tile-${id}` },
        element("h2", {}, title),
        element("p", {}, element("strong", { class: "tile-value" }, "–"), element("span", { class: "muted small" }, ` ${unit}`)),
        element("div", { class: "tile-line" }),
      ),
    ),
  );
}

/** @param {import("./history.js").Rates[]} rates The latest ones last. */
export function showTiles(rates) {
  for (const { id, of, shown } of TILES) {
    const tile = byId(`tile-${id}`);
    tile.querySelector(".tile-value").textContent = shown(rates.at(-1)?.[of] ?? null);
    tile.querySelector(".tile-line").replaceChildren(sparkline(rates.map((one) => one[of])));
  }
}
