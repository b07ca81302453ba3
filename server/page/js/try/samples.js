// Pictures that ship with the page, for models that know their classes.

import { address } from "../api.js";
import { byId, element } from "../dom.js";

/**
 * @typedef {object} Sample
 * @property {string} file
 * @property {number} index Place in Fashion-MNIST's test set.
 * @property {string} label The class it is labelled with.
 */

/** @param {(picture: Blob, sample: Sample) => void} onPicture */
export async function startSamples(onPicture) {
  const place = byId("samples");
  /** @type {Sample[]} */
  const samples = await (await fetch(address("page/samples/samples.json"))).json();
  for (const sample of samples) {
    const url = address(`page/samples/${sample.file}`);
    const button = element(
      "button",
      { type: "button", class: "sample", "aria-pressed": "false", "aria-label": `${sample.label}, test image ${sample.index}`, title: sample.label },
      element("img", { src: url, alt: "", width: 28, height: 28, loading: "lazy" }),
    );
    button.addEventListener("click", async () => {
      const picture = await (await fetch(url)).blob();
      onPicture(picture, sample);
      unmark();
      button.setAttribute("aria-pressed", "true");
    });
    place.append(button);
  }
  return samples;
}

/** Show that no sample is the picture. */
export function unmark() {
  for (const button of document.querySelectorAll(".sample")) button.setAttribute("aria-pressed", "false");
}
