// One answer of `/v1/classify`, shown: what it is, who was asked, who answered, and how long each took.

import { byId, element } from "../dom.js";
import { blockNumber, duration, percent, stageName } from "../format.js";

/**
 * @typedef {object} Result
 * @property {string | null} label Null: the model abstains.
 * @property {number} confidence
 * @property {boolean} abstained
 * @property {{label: string, probability: number}[]} top
 * @property {Trace | null} trace Null: the model is a single network.
 *
 * @typedef {object} Trace
 * @property {string} stage "memory", "a", "b", or "block_1" and so on.
 * @property {boolean} memory_hit
 * @property {number | null} confidence_a
 * @property {Record<string, number>} stage_times_s
 */

/** On small screens a line at the bottom stands for the answer while that is out of sight; a tap leads there. */
export function startGlance() {
  const line = byId("glance");
  new IntersectionObserver(([entry]) => line.toggleAttribute("data-away", !entry.isIntersecting)).observe(byId("verdict"));
  line.addEventListener("click", () => byId("answer-title").scrollIntoView({ block: "center" }));
}

/**
 * @param {import("./panel.js").ModelCard} model
 * @param {{results: Result[]}} answer
 * @param {{roundTripS: number, minConfidence: number, truth: string | null}} circumstances `truth` is a sample's label.
 */
export function showAnswer(model, answer, circumstances) {
  const result = answer.results[0];
  const { label, confidence, abstained, top, trace } = result;
  const name = label ?? "Not sure enough";
  const who = trace ? `, answered by ${answeredBy(trace)}` : "";
  const sure = `${percent(confidence)} sure${who}.`;
  showVerdict(name, noteOf(result, circumstances));
  byId("announcement").textContent = abstained ? `Not sure enough: ${top[0].label} is most probable, ${sure}` : `${name}, ${sure}`;
  byId("answer-flag").hidden = !trace;
  if (trace) byId("answer-flag").textContent = trace.stage === "memory" ? "Remembered" : stageName(trace.stage);
  byId("glance").hidden = false;
  byId("glance").textContent = `${name} · ${percent(confidence)}`;
  for (const id of ["answer-flag", "glance", "bars"]) byId(id).dataset.stage = trace?.stage ?? "a";
  showStages(model, trace);
  showBars(top);
  byId("fact-compute").textContent = trace ? duration(timeOf(trace)) : "not told";
  byId("fact-round-trip").textContent = duration(circumstances.roundTripS);
  byId("json").textContent = JSON.stringify(answer, null, 2);
}

/**
 * Before the first answer, and after a change of the model.
 * @param {import("./panel.js").ModelCard} model
 */
export function showNoAnswer(model) {
  showVerdict("Show me a picture", "The answer appears here.");
  byId("verdict").dataset.empty = "";
  byId("announcement").textContent = "";
  byId("answer-flag").hidden = byId("glance").hidden = true;
  showStages(model, null);
  showBars([]);
  byId("fact-compute").textContent = byId("fact-round-trip").textContent = "–";
  byId("json").textContent = "Nothing was asked yet.";
}

function showVerdict(label, note) {
  delete byId("verdict").dataset.empty;
  byId("verdict-label").textContent = label;
  byId("verdict-note").textContent = note;
}

function noteOf({ abstained, confidence, top: [best] }, { minConfidence, truth }) {
  const sure = `${percent(confidence, 1)} sure`;
  const said = abstained ? `${best.label} is most probable, but only ${sure}; you asked for ${percent(minConfidence)}` : sure;
  return truth === null ? said : `${said} · the test image is labelled ${truth === best.label ? "the same" : truth}`;
}

/** Lines are kept, so that the bars move from the last answer to this one. */
function showBars(top) {
  const bars = byId("bars");
  while (bars.children.length > top.length) bars.lastElementChild.remove();
  for (const [k, { label, probability }] of top.entries()) {
    if (k === bars.children.length) bars.append(barLine());
    const [name, track, number] = bars.children[k].children;
    name.textContent = name.title = label;
    number.textContent = percent(probability, 1);
    track.firstElementChild.style.width = `${100 * probability}%`;
  }
}

function barLine() {
  return element("li", { class: "bar-line" },
    element("span", { class: "bar-label" }),
    element("span", { class: "bar-track", "aria-hidden": "true" }, element("span", { class: "bar-fill" })),
    element("span", { class: "number" }));
}

function answeredBy({ stage }) {
  return stage === "memory" ? "the memory" : stageName(stage).replace(/^\w/, (letter) => letter.toLowerCase());
}

/** @param {Trace | null} trace Null: nothing was asked yet, or the model is a single network. */
function showStages({ name, cascade }, trace) {
  const boxes = !cascade ? [box("a", { title: "One network", name, asked: true })]
    : isEarlyExit(cascade) ? [blocksBox(cascade.stages[0].name, trace)] : stageBoxes(cascade, trace);
  byId("stages").replaceChildren(...boxes);
  byId("stages-note").textContent = cascade ? stagesNote(cascade, trace) : "No second network and no memory stand behind it.";
}

/** One network with a threshold stops between blocks of its own. */
function isEarlyExit({ stages: [first, ...others] }) {
  return first.threshold !== null && !others.length;
}

/** Memory, network A, network B, ... */
function stageBoxes({ stages, memory }, trace) {
  const names = distinctParts(stages.map(({ name }) => name));
  const shown = names.map((name, place) => ({ stage: letter(place).toLowerCase(), name }));
  if (memory) shown.unshift({ stage: "memory", name: "" });
  return shown.flatMap(({ stage, name }, place) => {
    const asked = trace !== null && (stage in trace.stage_times_s || trace.stage === stage);
    const time = !trace ? "" : asked ? duration(trace.stage_times_s[stage] ?? null) : "not asked";
    const drawn = box(stage, { title: stageName(stage), name, time, asked, answered: trace?.stage === stage });
    return place ? [element("span", { class: "stage-arrow", "aria-hidden": "true", "data-taken": asked }, "→"), drawn] : [drawn];
  });
}

/** The network of an early exit, which stops after the first of its blocks that is sure enough. */
function blocksBox(name, trace) {
  const block = trace ? blockNumber(trace.stage) : 0;
  if (!block) return box("a", { title: "One network, block by block", name });
  const time = duration(timeOf(trace, blockNumber));
  return box(trace.stage, { title: `Stopped after block ${block}`, name, time, asked: true, answered: true });
}

function box(stage, { title, name, time, asked, answered }) {
  const heading = element("strong", {}, title, ...(answered ? [element("span", { class: "visually-hidden" }, ", answered")] : []));
  return element("div", { class: "stage-box", "data-stage": stage, "data-asked": asked, "data-answered": answered },
    heading,
    ...(name ? [element("span", { class: "stage-name", title: name }, name)] : []),
    element("span", {}, time || "\u00a0"));
}

/** Seconds that the stages took, or some of them. */
function timeOf(trace, counts = () => true) {
  return Object.entries(trace.stage_times_s).reduce((sum, [stage, time]) => (counts(stage) ? sum + time : sum), 0);
}

function stagesNote(cascade, trace) {
  const [first, ...further] = cascade.stages;
  if (trace?.memory_hit) return "The memory knew this picture, or one that looks the same.";
  if (isEarlyExit(cascade)) return `The next block runs while the answer is less than ${percent(first.threshold)} sure.`;
  if (!further.length) return "One network answers; no second one stands behind it.";
  if (!trace) {
    const asks = further.map((_, place) => {
      const threshold = percent(cascade.stages[place].threshold);
      return `${letter(place + 1)} is asked when ${place ? "they are" : "A is"} less than ${threshold} sure`;
    });
    return `${asks.join(", ")}.`;
  }
  if (trace.confidence_a === null) return "\u00a0";
  const sure = percent(trace.confidence_a), threshold = percent(first.threshold);
  if (trace.stage === "a") return `A was ${sure} sure, at least ${threshold}: B was not needed.`;
  const others = further.map((_, place) => letter(place + 1)).filter((name) => name <= trace.stage.toUpperCase());
  return `A was ${sure} sure, less than ${threshold}: ${others.join(" and ")} ${others.length > 1 ? "were" : "was"} asked too.`;
}

function letter(place) {
  return String.fromCharCode("A".charCodeAt(0) + place);
}

/** Names of networks often begin and end alike; what is between tells them apart. */
function distinctParts(names) {
  const split = names.map((name) => name.split("_"));
  const shorter = Math.min(...split.map((parts) => parts.length)) - 1;
  const alike = (place) => split.every((parts) => parts.at(place) === split[0].at(place));
  let begin = 0, end = 0;
  if (names.length > 1) {
    while (begin < shorter && alike(begin)) begin += 1;
    while (end < shorter - begin && alike(-1 - end)) end += 1;
  }
  return split.map((parts) => parts.slice(begin, parts.length - end).join("_"));
}
