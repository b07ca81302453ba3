// The pictures that are shown: the one that was chosen, and what the model sees of it.

import { byId } from "../dom.js";

let previewUrl = "";
/**
 * @param {Blob} blob
 * @throws {DOMException} If this browser cannot show it.
 */
export async function showPreview(blob) {
  const image = byId("preview");
  URL.revokeObjectURL(previewUrl);
  previewUrl = URL.createObjectURL(blob);
  image.src = previewUrl;
  await image.decode();
  image.alt = "The picture that was chosen";
  image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) <= 64);
  image.hidden = false;
  byId("drop-text").hidden = true;
  byId("drop").classList.add("filled");
}

let canonicalUrl = "";
/**
 * @param {import("../models.js").ModelCard | null} model
 * @param {Blob | null} blob Null: there is nothing to see.
 */
export function showCanonical(model, blob) {
  const image = byId("canonical");
  URL.revokeObjectURL(canonicalUrl);
  canonicalUrl = blob ? URL.createObjectURL(blob) : "";
  image.hidden = !blob;
  byId("seen-none").hidden = Boolean(blob);
  if (blob) image.src = canonicalUrl;
  const { width, height, color } = model?.image ?? {};
  image.alt = blob ? "The picture as the model sees it" : "";
  byId("canonical-text").textContent = blob ? `${width} × ${height}, ${color === "GRAY" ? "grey" : "colour"}` : "\u00a0";
}

let downloadUrl = "";
/** @param {{blob: Blob, name: string} | null} picture What the link saves. */
export function showDownload(picture) {
  const link = byId("download");
  URL.revokeObjectURL(downloadUrl);
  downloadUrl = picture ? URL.createObjectURL(picture.blob) : "";
  link.classList.toggle("disabled", !picture);
  if (!picture) return link.removeAttribute("href");
  link.href = downloadUrl;
  link.download = picture.name;
}
