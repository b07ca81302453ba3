// One answer of `/v1/classify`, shown.

import { byId, element } from "../dom.js";
import { duration, percent } from "../format.js";
import { blockNumber } from "./blocks.js";
import { showGlance } from "./glance.js";
import { answeredBy, showStages } from "./stages.js";

/**
 * @typedef {object} Result
 * @property {string | null} label Null: the model abstains.
 * @property {number} confidence
 * @property {boolean} abstained
 * @property {{label: string, probability: number}[]} top
 * @property {import("./stages.js").Trace | null} trace
 */

const FLAGS = { memory: "Remembered", a: "Network A", b: "Network B" };

/**
 * @param {import("../models.js").ModelCard} model
 * @param {{results: Result[]}} answer
 * @param {{roundTripS: number, minConfidence: number, truth: string | null}} circumstances `truth` is a sample's label.
 */
export function showAnswer(model, answer, circumstances) {
  const result = answer.results[0];
  const best = result.top[0];
  delete byId("verdict").dataset.empty;
  byId("verdict-label").textContent = result.label ?? "Not sure enough";
  byId("verdict-note").textContent = noteOf(result, best, circumstances);
  showFlag(result.trace);
  showStages(model, result.trace);
  showBars(result);
  showGlance(result);
  byId("fact-compute").textContent = result.trace
    ? duration(Object.values(result.trace.stage_times_s).reduce((sum, time) => sum + time, 0))
    : "not told";
  byId("fact-round-trip").textContent = duration(circumstances.roundTripS);
  byId("json").textContent = JSON.stringify(answer, null, 2);
  byId("announcement").textContent = inWords(result);
}

/**
 * Before the first answer, and after a change of the model.
 * @param {import("../models.js").ModelCard} model
 */
export function showNoAnswer(model) {
  byId("verdict").dataset.empty = "";
  byId("verdict-label").textContent = "Show me a picture";
  byId("verdict-note").textContent = "The answer appears here.";
  byId("answer-flag").hidden = true;
  byId("fact-compute").textContent = byId("fact-round-trip").textContent = "–";
  byId("json").textContent = "Nothing was asked yet.";
  byId("announcement").textContent = "";
  byId("bars").replaceChildren();
  showGlance(null);
  showStages(model, null);
}

function noteOf(result, best, { minConfidence, truth }) {
  const sure = `${percent(result.confidence, 1)} sure`;
  const said = result.abstained
    ? `${best.label} is most probable, but only ${sure}; you asked for ${percent(minConfidence)}`
    : sure;
  if (truth === null) return said;
  return `${said} · the test image is labelled ${truth === best.label ? "the same" : truth}`;
}

function showFlag(trace) {
  const flag = byId("answer-flag");
  flag.hidden = !trace;
  if (!trace) return;
  flag.dataset.stage = trace.stage;
  flag.textContent = FLAGS[trace.stage] ?? `Block ${blockNumber(trace.stage)}`;
}

function showBars(result) {
  const bars = byId("bars");
  bars.style.setProperty("--answered", `var(--${colourOf(result.trace)})`);
  // Lines are kept, so that the bars move from the last answer to this one.
  while (bars.children.length > result.top.length) bars.lastElementChild.remove();
  result.top.forEach(({ label, probability }, k) => {
    if (k >= bars.children.length) bars.append(barLine());
    const [name, track, number] = bars.children[k].children;
    name.textContent = name.title = label;
    number.textContent = percent(probability, 1);
    track.firstElementChild.style.width = `${100 * probability}%`;
  });
}

/** Blocks have the colours of the networks: the first that of A, which every picture goes through. */
function colourOf(trace) {
  const stage = trace?.stage ?? "a";
  const block = blockNumber(stage);
  return block ? (block === 1 ? "a" : "b") : stage;
}

function barLine() {
  return element(
    "li", { class: "bar-line" },
    element("span", { class: "bar-label" }),
    element("span", { class: "bar-track", "aria-hidden": "true" }, element("span", { class: "bar-fill" })),
    element("span", { class: "number" }),
  );
}

function inWords(result) {
  const who = result.trace ? `, answered by ${answeredBy(result.trace)}` : "";
  return result.abstained
    ? `Not sure enough: ${result.top[0].label} is most probable, ${percent(result.confidence)} sure${who}.`
    : `${result.label}, ${percent(result.confidence)} sure${who}.`;
}
