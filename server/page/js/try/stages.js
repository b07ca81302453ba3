// Memory, network A, network B: who was asked, who answered, and how long each took.

import { byId, element } from "../dom.js";
import { duration, percent } from "../format.js";
import { blockNumber, blocksTime } from "./blocks.js";

const ORDER = ["memory", "a", "b"];
const TITLES = { memory: "Memory", a: "Network A", b: "Network B" };

/**
 * @typedef {object} Trace
 * @property {string} stage "memory", "a", "b", or "block_1" and so on.
 * @property {boolean} memory_hit
 * @property {number | null} confidence_a
 * @property {Record<string, number>} stage_times_s
 *
 * @param {import("../models.js").ModelCard} model
 * @param {Trace | null} trace Null: nothing was asked yet, or the model is a single network.
 */
export function showStages(model, trace) {
  const place = byId("stages");
  place.classList.toggle("single", !model.cascade);
  if (!model.cascade) {
    place.replaceChildren(box("a", "One network", model.name, "", true, false));
    byId("stages-note").textContent = "No second network and no memory stand behind it.";
    return;
  }
  if (model.cascade.b === null) {
    showBlocks(place, model, trace);
    return;
  }
  const stages = model.cascade.memory ? ORDER : ORDER.slice(1);
  place.replaceChildren();
  for (const stage of stages) {
    if (stage !== stages[0]) {
      const taken = trace !== null && isAsked(stage, trace);
      place.append(element("span", { class: "stage-arrow", "aria-hidden": "true", "data-taken": taken }, "→"));
    }
    place.append(boxOf(stage, model, trace));
  }
  byId("stages-note").textContent = noteOf(model, trace);
}

/** @returns {string} Who answered, in words. */
export function answeredBy(trace) {
  const block = blockNumber(trace.stage);
  if (block) return `block ${block}`;
  return trace.stage === "memory" ? "the memory" : TITLES[trace.stage].replace("N", "n");
}

/** One network that stops after the first block that is sure enough. */
function showBlocks(place, model, trace) {
  place.classList.add("single");
  const threshold = percent(model.cascade.threshold);
  const block = trace ? blockNumber(trace.stage) : 0;
  const title = block ? `Stopped after block ${block}` : "One network, block by block";
  const time = block ? duration(blocksTime(trace)) : "";
  place.replaceChildren(box(block ? trace.stage : "a", title, model.cascade.a, time, block > 0, block > 0));
  byId("stages-note").textContent = trace?.memory_hit
    ? "The memory knew this picture, or one that looks the same."
    : `The next block runs while the answer is less than ${threshold} sure.`;
}

function boxOf(stage, model, trace) {
  const name = stage === "memory" ? "" : distinctPart(model.cascade[stage], model.cascade);
  if (!trace) return box(stage, TITLES[stage], name, "", false, false);
  const asked = isAsked(stage, trace);
  const time = trace.stage_times_s[stage];
  return box(stage, TITLES[stage], name, asked ? duration(time ?? null) : "not asked", asked, trace.stage === stage);
}

function box(stage, title, name, time, asked, answered) {
  const node = element(
    "div", { class: "stage-box", "data-stage": stage, "data-asked": asked, "data-answered": answered },
    element("strong", {}, title),
  );
  if (answered) node.firstChild.append(element("span", { class: "visually-hidden" }, ", answered"));
  if (name) node.append(element("span", { class: "stage-name", title: name }, name));
  node.append(element("span", {}, time || "\u00a0"));
  return node;
}

function isAsked(stage, trace) {
  return stage in trace.stage_times_s || trace.stage === stage;
}

function noteOf(model, trace) {
  const threshold = percent(model.cascade.threshold);
  if (!trace) return `B is asked when A is less than ${threshold} sure.`;
  if (trace.memory_hit) return "The memory knew this picture, or one that looks the same.";
  if (trace.confidence_a === null) return "\u00a0";
  const sure = percent(trace.confidence_a);
  return trace.stage === "b"
    ? `A was ${sure} sure, less than ${threshold}: B was asked too.`
    : `A was ${sure} sure, at least ${threshold}: B was not needed.`;
}

/** Names of networks often begin and end alike; what is between tells them apart. */
function distinctPart(name, { a, b }) {
  const left = a.split("_"), right = b.split("_");
  let begin = 0, end = 0;
  const shorter = Math.min(left.length, right.length) - 1;
  while (begin < shorter && left[begin] === right[begin]) begin += 1;
  while (end < shorter - begin && left.at(-1 - end) === right.at(-1 - end)) end += 1;
  const parts = name.split("_");
  return parts.slice(begin, parts.length - end).join("_");
}
