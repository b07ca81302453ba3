// Which part of the cascades answered, as a bar.

import { byId, element } from "../dom.js";
import { count, percent } from "../format.js";
import { blockNumber } from "../try/blocks.js";
import { total } from "./figures.js";

const STAGES = [["memory", "Memory"], ["a", "Network A"], ["b", "Network B"]];

/**
 * @param {Record<string, number>} lately In the window.
 * @param {Record<string, number>} ever Since the server started.
 */
export function showShares(lately, ever) {
  const place = byId("shares");
  if (!total(ever)) {
    place.replaceChildren(element("p", { class: "muted" }, "No cascade has answered yet."));
    return;
  }
  place.replaceChildren(block("Last 30 seconds", lately), block("Since the server started", ever));
}

function block(title, counts) {
  const all = total(counts);
  const bar = element("div", { class: "share-bar", "aria-hidden": "true" });
  const list = element("ul", { class: "share-list" });
  for (const [stage, name] of stagesOf(counts)) {
    const share = all ? (counts[stage] ?? 0) / all : null;
    const part = element("span", { class: "share", "data-stage": stage });
    part.style.flexGrow = String(share ?? 0);
    bar.append(part);
    list.append(
      element(
        "li", { "data-stage": stage },
        element("span", { class: "share-key", "aria-hidden": "true" }),
        `${name} `, element("strong", {}, percent(share)), element("span", { class: "muted" }, ` ${count(counts[stage] ?? 0)}`),
      ),
    );
  }
  return element("div", { class: "share-block" }, element("h3", {}, title), bar, list);
}

/** The usual three; of early exits, which have blocks instead of networks, what has answered. */
function stagesOf(counts) {
  const blocks = Object.keys(counts).map(blockNumber).filter(Boolean).sort((one, other) => one - other);
  const usual = blocks.length ? STAGES.filter(([stage]) => counts[stage]) : STAGES;
  return [...usual, ...blocks.map((number) => [`block_${number}`, `Block ${number}`])];
}
