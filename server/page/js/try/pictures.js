// The pictures that are shown and saved, and what is made of them here before they are sent.

import { byId } from "../dom.js";

/** Larger pictures are reduced before they become negatives: no model sees more. */
const MAX_SIDE = 1024;

/** @type {Map<HTMLElement, string>} Addresses of blobs by who shows or saves them. */
const addresses = new Map();

/** Make an address for a blob, and forget the one that the element had before. */
function addressFor(node, blob) {
  URL.revokeObjectURL(addresses.get(node));
  addresses.set(node, URL.createObjectURL(blob));
  return addresses.get(node);
}

/**
 * @param {Blob} blob The picture that was chosen.
 * @throws {DOMException} If this browser cannot show it.
 */
export async function showPreview(blob) {
  const image = byId("preview");
  image.src = addressFor(image, blob);
  await image.decode();
  image.classList.toggle("tiny", Math.max(image.naturalWidth, image.naturalHeight) <= 64);
  image.hidden = false;
  byId("drop-text").hidden = true;
  byId("drop").classList.add("filled");
}

/**
 * @param {import("./panel.js").ModelCard} model
 * @param {Blob} blob The picture as it sees it.
 */
export function showCanonical(model, blob) {
  const { width, height, color } = model.image;
  byId("canonical").src = addressFor(byId("canonical"), blob);
  byId("canonical").hidden = false;
  byId("seen-none").hidden = true;
  byId("canonical-text").textContent = `${width} × ${height}, ${color === "GRAY" ? "grey" : "colour"}`;
}

/** @param {Blob} blob What a model made of a picture of which a part is missing. */
export function showCompleted(blob) {
  byId("completed").src = addressFor(byId("completed"), blob);
  byId("completed-figure").hidden = false;
}

/** Show that no model has seen a picture. */
export function showNoCanonical() {
  byId("completed-figure").hidden = true;
  byId("canonical").hidden = true;
  byId("seen-none").hidden = false;
  byId("canonical-text").textContent = "\u00a0";
}

/** @param {{blob: Blob, name: string} | null} picture What the link saves. */
export function showDownload(picture) {
  const link = byId("download");
  link.classList.toggle("disabled", !picture);
  if (!picture) return link.removeAttribute("href");
  link.href = addressFor(link, picture.blob);
  link.download = picture.name;
}

/**
 * The negative of a picture, for models whose training pictures were light things on black.
 * @param {Blob} picture
 * @returns {Promise<Blob>} A PNG.
 */
export async function negativeOf(picture) {
  const bitmap = await createImageBitmap(picture);
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const negative = pngOf(width, height, (context) => {
    context.drawImage(bitmap, 0, 0, width, height);
    const image = context.getImageData(0, 0, width, height);
    // What is transparent stays so: the server decides what is behind it.
    image.data.forEach((value, k, data) => k % 4 !== 3 && (data[k] = 255 - value));
    context.putImageData(image, 0, 0);
  });
  bitmap.close();
  return negative;
}

/**
 * @param {number} width
 * @param {number} height
 * @param {(context: CanvasRenderingContext2D) => void} paint
 * @returns {Promise<Blob>} A PNG of what was painted.
 */
export function pngOf(width, height, paint) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  paint(canvas.getContext("2d"));
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("this browser made no PNG"))), "image/png");
  });
}
