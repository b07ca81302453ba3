// Classes that a model learns from pictures, and forgets.

import { ask, askJson, showFailure } from "../api.js";
import { confirmed } from "../confirm.js";
import { byId, element } from "../dom.js";
import { count } from "../format.js";

/**
 * @typedef {object} KnownClass As `/v1/models/{model}/classes` tells it.
 * @property {string} label
 * @property {number} examples
 * @property {number} taught
 */

/** The card below the answer, of models that learn. */
export class TeachingCard {
  /** Name of the model; empty: it does not learn. */
  #model = "";
  /** @type {Blob | null} */
  #picture = null;
  #busy = false;
  #onChange;

  /** @param {() => void} onChange Called when the model knows something else than before. */
  constructor(onChange) {
    this.#onChange = onChange;
    byId("teach-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.#picture) this.#teach([this.#picture]);
    });
    const files = byId("teach-files");
    // Before the dialog opens: what would be done with the files is not known yet.
    files.addEventListener("click", (event) => byId("teach-form").reportValidity() || event.preventDefault());
    files.addEventListener("change", () => {
      if (files.files.length) this.#teach([...files.files]);
      files.value = "";
    });
    byId("forget-all").addEventListener("click", () => this.#forget(""));
  }

  /** @param {{name: string, learns: boolean} | undefined} model The one that is asked. */
  async show(model) {
    const name = model?.learns ? model.name : "";
    if (name !== this.#model) {
      byId("teach-said").textContent = "";
      showFailure(byId("teach-failure"), null);
    }
    this.#model = name;
    byId("teach").hidden = !name;
    if (!name) return;
    try {
      const { classes } = await askJson(this.#path());
      if (name === this.#model) this.#showClasses(classes);
    } catch (error) {
      showFailure(byId("teach-failure"), error);
    }
  }

  /** @param {Blob | null} picture What the model is asked for. */
  offer(picture) {
    this.#picture = picture;
    this.#showButtons();
  }

  /** @param {Blob[]} pictures */
  async #teach(pictures) {
    const label = byId("teach-label").value.trim();
    const form = new FormData();
    for (const [place, picture] of pictures.entries()) form.append(`picture_${place}`, picture, picture.name ?? "picture.png");
    await this.#do(async () => {
      const path = `${this.#path(label)}/examples`;
      const { classes, others_follow_s: followS } = await askJson(path, { method: "POST", body: form });
      this.#showClasses(classes);
      const what = pictures.length === 1 ? "one more picture" : `${pictures.length} more pictures`;
      return `It has learned ${what} of ${label}. Other workers follow within ${followS} s.`;
    });
  }

  /** @param {string} label Empty: all of them. */
  async #forget(label) {
    const [title, what] = label ? [`Forget ${label}?`, `of ${label}`] : ["Forget everything?", "of all classes"];
    const text = `What ${this.#model} was taught ${what} is forgotten, in all workers and for everybody.`;
    if (!(await confirmed(title, text, "Forget it"))) return;
    await this.#do(async () => {
      await ask(this.#path(label), { method: "DELETE" });
      await this.show({ name: this.#model, learns: true });
      return `It has forgotten what it was taught ${what}.`;
    });
  }

  /** @param {() => Promise<string>} deed Returns what people are told. */
  async #do(deed) {
    if (this.#busy) return;
    this.#busy = true;
    this.#showButtons();
    byId("teach-said").textContent = "One moment…";
    showFailure(byId("teach-failure"), null);
    try {
      byId("teach-said").textContent = await deed();
      this.#onChange();
    } catch (error) {
      byId("teach-said").textContent = "";
      showFailure(byId("teach-failure"), error);
    }
    this.#busy = false;
    this.#showButtons();
  }

  /** @param {KnownClass[]} classes */
  #showClasses(classes) {
    byId("teach-known").replaceChildren(...classes.map(({ label }) => element("option", { value: label })));
    // What was taught comes first: those classes stand last in the model, below what fits here.
    const rows = [...classes.filter(({ taught }) => taught), ...classes.filter(({ taught }) => !taught)];
    byId("teach-classes").replaceChildren(...rows.map((one) => this.#classRow(one)));
    byId("forget-all").disabled = !classes.some(({ taught }) => taught);
  }

  /** @param {KnownClass} known */
  #classRow({ label, examples, taught }) {
    const forget = element("button", { type: "button", class: "button danger slim", "aria-label": `Forget ${label}…` }, "Forget…");
    forget.addEventListener("click", () => this.#forget(label));
    return element("tr", {},
      element("th", { scope: "row", class: "class-name" }, label),
      element("td", { class: "number" }, count(examples)),
      element("td", { class: "number" }, taught ? count(taught) : "–"),
      element("td", { class: "number" }, ...(taught ? [forget] : [])));
  }

  #showButtons() {
    byId("teach-shown").disabled = this.#busy || !this.#picture;
  }

  /** @param {string} [label] */
  #path(label = "") {
    const classes = `v1/models/${encodeURIComponent(this.#model)}/classes`;
    return label ? `${classes}/${encodeURIComponent(label)}` : classes;
  }
}
