// The negative of a picture, for models whose training pictures were light things on black.

import { blobOf } from "./sketch.js";

/** Larger pictures are reduced first: no model sees more. */
const MAX_SIDE = 1024;

/**
 * @param {Blob} picture
 * @returns {Promise<Blob>} A PNG.
 */
export async function negativeOf(picture) {
  const bitmap = await createImageBitmap(picture);
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  // What is transparent stays so: the server decides what is behind it.
  for (let k = 0; k < image.data.length; k++) if (k % 4 !== 3) image.data[k] = 255 - image.data[k];
  context.putImageData(image, 0, 0);
  return blobOf(canvas);
}
