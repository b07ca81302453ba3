// The table of the models: whether they answer, what they did, and how to load and unload them.

import { ask, showFailure } from "../api.js";
import { confirmed } from "../confirm.js";
import { byId, element } from "../dom.js";
import { count, duration, fixed } from "../format.js";
import { failures, quantile, total } from "./figures.js";

/** Places of the cells in a row, after its name and button. */
const STATE = 0, FIGURES = 1;

/** @typedef {{row: HTMLElement, cells: HTMLElement[], button: HTMLButtonElement, model: import("./figures.js").LiveModel}} Line */

export class ModelTable {
  /** @type {Map<string, Line>} Lines stay what they are, or a click would fall between two of them. */
  #lines = new Map();
  /** Name and version of what is loaded or unloaded at the moment; empty: nothing. */
  #changing = "";
  #onChange;

  /** @param {() => void} onChange Called when a model was loaded or unloaded. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /**
   * @param {import("./figures.js").LiveModel[]} models
   * @param {number[]} boundsS Upper bounds of the durations' buckets.
   */
  show(models, boundsS) {
    const before = [...this.#lines.keys()].join();
    this.#lines = new Map(models.map((model) => [keyOf(model), this.#lines.get(keyOf(model)) ?? this.#newLine(model)]));
    for (const model of models) this.#fill(this.#lines.get(keyOf(model)), model, boundsS);
    if ([...this.#lines.keys()].join() === before) return;
    byId("model-table").tBodies[0].replaceChildren(...[...this.#lines.values()].map(({ row }) => row));
  }

  #newLine(model) {
    const cells = ["wrap", "number", "number", "number", "number", "number"].map((kind) => element("td", { class: kind }));
    const button = element("button", { type: "button", class: "button slim" });
    const name = element("th", { scope: "row" }, model.name, element("span", { class: "muted" }, ` ${model.version}`));
    const line = { row: element("tr", {}, name, element("td", {}, button), ...cells), cells, button, model };
    button.addEventListener("click", () => this.#change(line));
    return line;
  }

  #fill(line, model, boundsS) {
    line.model = model;
    const { state, reason, rows, runs } = model;
    const ready = state === "READY";
    const pill = element("span", { class: "pill", "data-good": ready, title: reason || undefined }, ready ? "ready" : reason || state.toLowerCase());
    line.cells[STATE].classList.toggle("wrap", Boolean(reason));
    line.cells[STATE].replaceChildren(pill);
    const figures = [
      count(total(model.requests)), count(failures(model)), duration(quantile(model, boundsS, 0.5)),
      duration(quantile(model, boundsS, 0.99)), runs ? fixed(rows / runs, 1) : "–",
    ];
    for (const [place, text] of figures.entries()) line.cells[FIGURES + place].textContent = text;
    this.#showButton(line);
  }

  #showButton({ button, model }) {
    const deed = model.state === "READY" ? "Unload…" : "Load";
    button.textContent = this.#changing === keyOf(model) ? "Wait…" : deed;
    button.setAttribute("aria-label", `${deed} ${model.name} ${model.version}`);
    // Disabled, it would lose the focus.
    button.setAttribute("aria-disabled", String(Boolean(this.#changing) || model.state === "LOADING"));
    button.classList.toggle("danger", model.state === "READY");
  }

  async #change({ button, model }) {
    if (button.getAttribute("aria-disabled") === "true") return;
    const title = `${model.name} ${model.version}`.trim();
    const deed = model.state === "READY" ? "unload" : "load";
    const text = `${title} answers nobody any more, in all workers, until somebody loads it; also when the server is started again.`;
    if (deed === "unload" && !(await confirmed(`Unload ${model.name}?`, text, "Unload it"))) return;
    this.#begin(keyOf(model), `${deed === "load" ? "Loading" : "Unloading"} ${title}…`);
    try {
      await ask(pathOf(model, deed), { method: "POST" });
      byId("change-said").textContent = `${title} is ${deed}ed. Other workers follow within seconds.`;
    } catch (error) {
      byId("change-said").textContent = "";
      showFailure(byId("change-failure"), error);
    }
    this.#changing = "";
    for (const line of this.#lines.values()) this.#showButton(line);
    this.#onChange();
  }

  #begin(key, text) {
    this.#changing = key;
    byId("change-said").textContent = text;
    showFailure(byId("change-failure"), null);
    for (const line of this.#lines.values()) this.#showButton(line);
  }
}

function keyOf({ name, version }) {
  return `${name}/${version}`;
}

/** The version may be unknown where a file is broken. */
function pathOf({ name, version }, deed) {
  const [model, number] = [name, version].map(encodeURIComponent);
  return version ? `v1/models/${model}/versions/${number}/${deed}` : `v2/repository/models/${model}/${deed}`;
}
