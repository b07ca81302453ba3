// Pictures from elsewhere: files that are chosen, dropped or pasted, the samples of the page, the camera.

import { address } from "../api.js";
import { byId, element } from "../dom.js";
import { pngOf } from "./pictures.js";

/** Largest side of a picture of the camera. */
const MAX_SIDE = 640;

/**
 * @param {(file: File) => void} onPicture
 * @param {(message: string) => void} onNothing Called when something else was dropped.
 */
export function startPictureFile(onPicture, onNothing) {
  const drop = byId("drop"), input = byId("file");
  input.addEventListener("change", () => {
    if (input.files.length) onPicture(input.files[0]);
    input.value = "";
  });

  const take = (files) => {
    if (byId("panel-try").hidden || !files?.length) return;
    const picture = [...files].find((file) => file.type.startsWith("image/"));
    if (picture) onPicture(picture);
    else onNothing(`${files[0].name || "that"} is no picture; JPEG, PNG, WebP and BMP are known here`);
  };
  window.addEventListener("paste", (event) => take(event.clipboardData?.files));

  // The whole page takes drops, so that a picture that misses the square does not replace the page.
  const steps = { dragenter: 1, dragleave: -1, dragover: 0, drop: -Infinity };
  let inside = 0;
  for (const [kind, step] of Object.entries(steps)) {
    window.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      inside = Math.max(0, inside + step);
      drop.classList.toggle("over", inside > 0);
      if (kind === "drop") take(event.dataTransfer.files);
    });
  }
}

/**
 * @typedef {object} Sample
 * @property {string} file
 * @property {number} index Place in Fashion-MNIST's test set.
 * @property {string} label The class it is labelled with.
 *
 * @param {(picture: Blob, sample: Sample) => void} onPicture
 * @returns {Promise<Sample[]>} Pictures that ship with the page, for models that know their classes.
 */
export async function startSamples(onPicture) {
  const samples = await (await fetch(address("page/samples/samples.json"))).json();
  for (const sample of samples) {
    const url = address(`page/samples/${sample.file}`);
    const button = element("button",
      { type: "button", class: "sample", "aria-pressed": "false", "aria-label": `${sample.label}, test image ${sample.index}`, title: sample.label },
      element("img", { src: url, alt: "", width: 28, height: 28, loading: "lazy" }));
    button.addEventListener("click", async () => {
      onPicture(await (await fetch(url)).blob(), sample);
      unmarkSamples();
      button.setAttribute("aria-pressed", "true");
    });
    byId("samples").append(button);
  }
  return samples;
}

/** Show that no sample is the picture. */
export function unmarkSamples() {
  for (const button of document.querySelectorAll(".sample")) button.setAttribute("aria-pressed", "false");
}

/** It is on only while it is looked through. */
export class Camera {
  /** @type {MediaStream | null} */
  #stream = null;
  #wanted = false;
  #video = byId("viewfinder");

  /** @param {(picture: Blob) => void} onPicture */
  constructor(onPicture) {
    byId("camera-on").addEventListener("click", () => (this.#stream ? this.off() : this.#on()));
    byId("shutter").addEventListener("click", async () => onPicture(await this.#picture()));
  }

  /** @param {string} [why] What people are told. */
  off(why = "The camera is off.") {
    this.#wanted = false;
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = this.#video.srcObject = null;
    this.#show(why);
  }

  async #on() {
    if (!navigator.mediaDevices) {
      return this.#show("The browser gives the camera only to pages from https or from this machine. On a phone, “Choose a file” opens the camera.");
    }
    this.#wanted = true;
    this.#show("Asking for the camera…");
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (!this.#wanted) return this.off();
      this.#video.srcObject = this.#stream;
      await this.#video.play();
      this.#show("");
    } catch (error) {
      this.off(this.#wanted ? `The camera cannot be used: ${error.message}` : undefined);
    }
  }

  /** The square in the middle, which is what is seen. */
  #picture() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    const side = Math.min(width, height), size = Math.min(side, MAX_SIDE);
    return pngOf(size, size, (context) => {
      context.drawImage(this.#video, (width - side) / 2, (height - side) / 2, side, side, 0, 0, size, size);
    });
  }

  /** @param {string} text Empty: it is looked through. */
  #show(text) {
    byId("camera-on").textContent = this.#stream ? "Switch off" : "Switch on";
    byId("shutter").disabled = Boolean(text);
    byId("camera-text").textContent = text;
    byId("camera-text").hidden = !text;
  }
}
