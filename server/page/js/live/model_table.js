// Every version of every model: whether it answers, and what it did.

import { byId, element } from "../dom.js";
import { count, duration, fixed } from "../format.js";
import { quantile, total } from "./figures.js";

/**
 * @param {{name: string, version: string, state: string, reason: string}[]} index The repository's.
 * @param {Map<string, import("./figures.js").Figures>} byModel
 */
export function showModelTable(index, byModel) {
  const rows = index.map((entry) => {
    const figures = byModel.get(entry.name);
    const requests = figures ? total(figures.requests) : 0;
    const failed = figures ? requests - (figures.requests.success ?? 0) : 0;
    return element(
      "tr", {},
      element("th", { scope: "row" }, entry.name, element("span", { class: "muted" }, ` ${entry.version}`)),
      element("td", { class: entry.reason ? "wrap" : undefined }, state(entry)),
      number(count(requests)), number(count(failed)),
      number(duration(figures ? quantile(figures.duration, 0.5) : null)),
      number(duration(figures ? quantile(figures.duration, 0.99) : null)),
      number(figures?.runs ? fixed(figures.rows / figures.runs, 1) : "–"),
    );
  });
  byId("model-table").tBodies[0].replaceChildren(...rows);
}

function state({ state: name, reason }) {
  const ready = name === "READY";
  return element("span", { class: "pill", "data-good": ready, title: reason || undefined }, ready ? "ready" : reason || name.toLowerCase());
}

function number(text) {
  return element("td", { class: "number" }, text);
}
