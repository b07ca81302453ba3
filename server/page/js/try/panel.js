// The panel in which a person asks a model for a picture.

import { askJson, showFailure } from "../api.js";
import { byId, offer } from "../dom.js";
import { percent } from "../format.js";
import { showAnswer, showNoAnswer, startGlance } from "./answer.js";
import { Drawing } from "./drawing.js";
import { negativeOf, showCanonical, showCompleted, showDownload, showNoCanonical, showPreview } from "./pictures.js";
import { canonical, classify, completed, curlCommand, startCopying } from "./request.js";
import { Camera, startPictureFile, startSamples, unmarkSamples } from "./sources.js";
import { TeachingCard } from "./teaching.js";
import { showTensorModels } from "./tensors.js";

/**
 * @typedef {object} ModelCard As `/v1/models` describes a model.
 * @property {string} name
 * @property {string[]} labels
 * @property {{height: number, width: number, color: "GRAY" | "RGB" | "BGR", invert: boolean} | null} image
 *   Null: it does not classify pictures. `invert`: it sees the negative.
 * @property {{stages: {name: string, threshold: number | null}[], memory: boolean} | null} cascade
 *   `threshold`: below it the next network is asked; of a single network: its own next block.
 * @property {{metric: string, value: number, ci95: [number, number] | null, n: number, split: string}[]} claims
 * @property {string} limits
 * @property {boolean} learns Whether it can be taught classes.
 * @property {boolean} completes Whether it fills in what is transparent of a picture.
 *
 * @typedef {object} Picture
 * @property {Blob} blob What is sent.
 * @property {string} name For the curl command and for saving it.
 * @property {string | null} truth A sample's label.
 */

/** @returns {{show: () => void, hide: () => void}} */
export function startTryPanel() {
  const panel = new TryPanel();
  return { show: () => panel.loadModels(), hide: () => panel.camera.off() };
}

class TryPanel {
  /** @type {ModelCard[]} Those that take pictures. */
  models = [];
  /** @type {Picture | null} The picture of the shown source. */
  picture = null;
  /** @type {Picture | null} As it was chosen, before it was made a negative. */
  chosen = null;
  /** @type {import("./sources.js").Sample[]} */
  samples = [];
  asking = new AbortController();
  drawing = new Drawing(() => this.useDrawing());
  teaching = new TeachingCard(() => this.useWhatItLearned());
  camera = new Camera((blob) => this.use({ blob, name: "camera.png", truth: null }));

  constructor() {
    startPictureFile((file) => this.choose({ blob: file, name: file.name || "picture.png", truth: null }), (message) => this.fail(message));
    startCopying();
    startGlance();
    startSamples((blob, sample) => this.choose({ blob, name: sample.file, truth: sample.label })).then((samples) => {
      this.samples = samples;
      this.showSamples();
    });
    byId("model").addEventListener("change", () => this.changeModel());
    byId("sources").addEventListener("change", () => this.changeSource());
    byId("invert").addEventListener("change", () => this.applyChosen());
    byId("fit").addEventListener("change", () => this.useDrawing());
    for (const id of ["abstain", "top-k", "no-store"]) {
      byId(id).addEventListener("input", () => this.showWishes());
      byId(id).addEventListener("change", () => this.ask());
    }
    for (const kind of ["api-key", "server-ready"]) window.addEventListener(kind, () => this.loadModels());
  }

  get model() {
    return this.models.find((model) => model.name === byId("model").value);
  }

  get source() {
    return document.querySelector('input[name="source"]:checked').value;
  }

  /** @returns {import("./request.js").Wishes} */
  get wishes() {
    return { topK: Number(byId("top-k").value), minConfidence: Number(byId("abstain").value) / 100, noStore: byId("no-store").checked };
  }

  async loadModels() {
    try {
      const cards = await askJson("v1/models");
      showTensorModels(cards.filter(({ kind }) => kind === "tensors"));
      const models = cards.filter((model) => model.image);
      this.models = [...models.filter((model) => model.cascade), ...models.filter((model) => !model.cascade)];
    } catch (error) {
      return this.fail(error);
    }
    this.fail(null);
    const changed = offer(byId("model"), new Map(this.models.map(({ name }) => [name, name])));
    byId("model").disabled = this.models.length === 0;
    if (!this.models.length) byId("model-about").textContent = "This server has no model that classifies pictures.";
    else if (changed) return this.changeModel();
    this.showClasses();
  }

  /** The model has other classes than before, or surer ones. */
  async useWhatItLearned() {
    await this.loadModels();
    this.ask();
  }

  /** How many classes it has, and what it was taught, others may have changed. */
  showClasses() {
    byId("top-k").max = String(this.model?.labels.length ?? 1);
    this.teaching.show(this.model);
  }

  changeModel() {
    const model = this.model;
    byId("model-about").textContent = aboutOf(model);
    this.showClasses();
    this.drawing.setGround(model.image.color === "GRAY" && !model.image.invert);
    this.showSamples();
    showNoAnswer(model);
    if (this.source === "draw") this.useDrawing();
    else this.ask();
  }

  changeSource() {
    for (const source of ["file", "draw", "camera"]) byId(`source-${source}`).hidden = source !== this.source;
    if (this.source !== "camera") this.camera.off();
    if (this.source === "draw") this.useDrawing();
    else if (this.source === "file") this.applyChosen();
    else this.use(null);
  }

  showSamples() {
    const known = (sample) => this.model?.labels.includes(sample.label);
    byId("samples-block").hidden = !this.samples.length || !this.samples.every(known);
  }

  /** @param {Picture} picture From a file, the clipboard or the samples. */
  choose(picture) {
    this.chosen = picture;
    unmarkSamples();
    if (this.source === "file") return this.applyChosen();
    document.querySelector('input[name="source"][value="file"]').checked = true;
    return this.changeSource();
  }

  async applyChosen() {
    if (!this.chosen) return this.use(null);
    try {
      const { blob, name, truth } = this.chosen;
      const sent = byId("invert").checked
        ? { blob: await negativeOf(blob), name: name.replace(/(\.[^.]*)?$/, "_negative.png"), truth }
        : this.chosen;
      await showPreview(sent.blob);
      return this.use(sent);
    } catch {
      this.fail(`${this.chosen.name} cannot be shown by this browser; the server may know it all the same`);
      return this.use(this.chosen);
    }
  }

  async useDrawing() {
    const blob = await this.drawing.picture(byId("fit").checked);
    if (this.source === "draw") this.use(blob && { blob, name: "drawing.png", truth: null });
  }

  /** @param {Picture | null} picture */
  use(picture) {
    this.picture = picture;
    this.teaching.offer(picture && picture.blob);
    if (picture) return this.ask();
    this.asking.abort();
    showNoCanonical();
    if (this.model) showNoAnswer(this.model);
    this.showWishes();
  }

  /** Ask the model; a question that is still open is given up. */
  async ask() {
    const { model, picture, wishes } = this;
    this.showWishes();
    if (!model || !picture) return;
    this.asking.abort();
    const { signal } = (this.asking = new AbortController());
    const startMs = performance.now();
    try {
      const answer = await classify(model.name, picture.blob, wishes, signal);
      const roundTripS = (performance.now() - startMs) / 1e3;
      this.fail(null);
      showAnswer(model, answer, { roundTripS, minConfidence: wishes.minConfidence, truth: picture.truth });
      showCanonical(model, await canonical(model.name, picture.blob, signal));
      byId("completed-figure").hidden = true;
      if (model.completes) showCompleted(await completed(model.name, picture.blob, signal));
    } catch (error) {
      if (signal.aborted) return;
      showNoAnswer(model);
      showNoCanonical();
      this.fail(error);
    }
  }

  showWishes() {
    const { wishes, model, picture } = this;
    byId("abstain-value").textContent = percent(wishes.minConfidence);
    byId("top-k-value").textContent = String(wishes.topK);
    byId("curl").textContent = model ? curlCommand(model.name, picture?.name ?? "picture.png", wishes) : "";
    showDownload(picture);
  }

  /** @param {unknown} error Null: nothing failed. */
  fail(error) {
    showFailure(byId("failure"), error);
  }
}

/** @param {ModelCard} model */
function aboutOf(model) {
  const accuracy = model.claims.find((claim) => claim.metric === "accuracy");
  const parts = [];
  const networks = model.cascade?.stages.length ?? 1;
  if (networks > 1) parts.push(`${networks === 2 ? "Two" : networks} networks, each asked where those before are not sure.`);
  if (accuracy) {
    const interval = accuracy.ci95 ? ` [${accuracy.ci95.map((bound) => (100 * bound).toFixed(1)).join(", ")}]` : "";
    parts.push(`Right for ${(100 * accuracy.value).toFixed(1)} %${interval} of ${accuracy.n.toLocaleString("en")} ${accuracy.split} images.`);
  }
  if (model.limits) parts.push(model.limits);
  return parts.join(" ") || "Nothing more is told about it.";
}
