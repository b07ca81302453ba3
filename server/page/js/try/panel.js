// The panel in which a person asks a model for a picture.

import { byId } from "../dom.js";
import { showFailure } from "../failure.js";
import { percent } from "../format.js";
import { forPictures, readModels } from "../models.js";
import { showAnswer, showNoAnswer } from "./answer.js";
import { Camera } from "./camera.js";
import { startCopying } from "./copying.js";
import { negativeOf } from "./negative.js";
import { startGlance } from "./glance.js";
import { startPictureFile } from "./picture_file.js";
import { showCanonical, showDownload, showPreview } from "./previews.js";
import { canonical, classify, curlCommand } from "./request.js";
import { startSamples, unmark } from "./samples.js";
import { Sketch } from "./sketch.js";

/**
 * @typedef {object} Picture
 * @property {Blob} blob What is sent.
 * @property {string} name For the curl command and for saving it.
 * @property {string | null} truth A sample's label.
 */

/** @returns {{show: () => void, hide: () => void}} */
export function startTryPanel() {
  const panel = new TryPanel();
  return {
    show: () => panel.loadModels(),
    hide: () => panel.camera.off(),
  };
}

class TryPanel {
  /** @type {import("../models.js").ModelCard[]} */
  models = [];
  /** @type {Picture | null} The picture of the shown source. */
  picture = null;
  /** @type {Picture | null} As it was chosen, before it was made a negative. */
  chosen = null;
  samples = [];
  asking = new AbortController();

  constructor() {
    this.sketch = new Sketch(() => this.useSketch());
    this.camera = new Camera((blob) => this.use({ blob, name: "camera.png", truth: null }));
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
    byId("fit").addEventListener("change", () => this.useSketch());
    for (const id of ["abstain", "top-k", "no-store"]) {
      byId(id).addEventListener("input", () => this.showWishes());
      byId(id).addEventListener("change", () => this.ask());
    }
    window.addEventListener("api-key", () => this.loadModels());
    window.addEventListener("server-ready", () => this.loadModels());
  }

  get model() {
    return this.models.find((model) => model.name === byId("model").value);
  }

  get source() {
    return document.querySelector('input[name="source"]:checked').value;
  }

  get wishes() {
    return {
      topK: Number(byId("top-k").value),
      minConfidence: Number(byId("abstain").value) / 100,
      noStore: byId("no-store").checked,
    };
  }

  async loadModels() {
    const select = byId("model");
    const before = select.value;
    try {
      this.models = forPictures(await readModels());
    } catch (error) {
      return this.fail(error);
    }
    showFailure(byId("failure"), null);
    const names = this.models.map((model) => model.name);
    if (names.join() === [...select.options].map((option) => option.value).join()) return;
    select.replaceChildren(...names.map((name) => new Option(name, name)));
    select.disabled = names.length === 0;
    if (names.includes(before)) select.value = before;
    if (names.length) this.changeModel();
    else byId("model-about").textContent = "This server has no model that classifies pictures.";
  }

  changeModel() {
    const model = this.model;
    byId("model-about").textContent = aboutOf(model);
    byId("top-k").max = String(model.labels.length);
    const lightOnDark = model.image.color === "GRAY" && !model.image.invert;
    this.sketch.setGround(lightOnDark);
    this.showSamples();
    this.showWishes();
    showNoAnswer(model);
    if (this.source === "draw") this.useSketch();
    else this.ask();
  }

  changeSource() {
    for (const source of ["file", "draw", "camera"]) byId(`source-${source}`).hidden = source !== this.source;
    if (this.source !== "camera") this.camera.off();
    if (this.source === "draw") this.useSketch();
    else if (this.source === "file") this.applyChosen();
    else this.use(null);
  }

  showSamples() {
    const labels = new Set(this.model?.labels);
    byId("samples-block").hidden = !this.samples.length || !this.samples.every((sample) => labels.has(sample.label));
  }

  /** @param {Picture} picture From a file, the clipboard or the samples. */
  choose(picture) {
    if (this.source !== "file") {
      document.querySelector('input[name="source"][value="file"]').checked = true;
      this.chosen = picture;
      return this.changeSource();
    }
    this.chosen = picture;
    unmark();
    return this.applyChosen();
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

  async useSketch() {
    const blob = await this.sketch.picture(byId("fit").checked);
    if (this.source === "draw") this.use(blob && { blob, name: "drawing.png", truth: null });
  }

  /** @param {Picture | null} picture */
  use(picture) {
    this.picture = picture;
    if (picture) return this.ask();
    this.asking.abort();
    showCanonical(null, null);
    if (this.model) showNoAnswer(this.model);
    this.showWishes();
  }

  /** Ask the model; a question that is still open is given up. */
  async ask() {
    const { model, picture, wishes } = this;
    this.showWishes();
    if (!model || !picture) return;
    this.asking.abort();
    const asking = (this.asking = new AbortController());
    const startMs = performance.now();
    try {
      const answer = await classify(model.name, picture.blob, wishes, asking.signal);
      const roundTripS = (performance.now() - startMs) / 1e3;
      showFailure(byId("failure"), null);
      showAnswer(model, answer, { roundTripS, minConfidence: wishes.minConfidence, truth: picture.truth });
      showCanonical(model, await canonical(model.name, picture.blob, asking.signal));
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      showNoAnswer(model);
      showCanonical(null, null);
      this.fail(error);
    }
  }

  showWishes() {
    const { topK, minConfidence } = this.wishes;
    byId("abstain-value").textContent = percent(minConfidence);
    byId("top-k-value").textContent = String(topK);
    const name = this.picture?.name ?? "picture.png";
    byId("curl").textContent = this.model ? curlCommand(this.model.name, name, this.wishes) : "";
    showDownload(this.picture);
  }

  fail(error) {
    showFailure(byId("failure"), error);
  }
}

/** @param {import("../models.js").ModelCard} model */
function aboutOf(model) {
  const accuracy = model.claims.find((claim) => claim.metric === "accuracy");
  const parts = [];
  if (model.cascade) parts.push("Two networks, the second asked where the first is not sure.");
  if (accuracy) {
    const interval = accuracy.ci95 ? ` [${accuracy.ci95.map((bound) => (100 * bound).toFixed(1)).join(", ")}]` : "";
    parts.push(`Right for ${(100 * accuracy.value).toFixed(1)} %${interval} of ${accuracy.n.toLocaleString("en")} ${accuracy.split} images.`);
  }
  if (model.limits) parts.push(model.limits);
  return parts.join(" ") || "Nothing more is told about it.";
}
