// What is asked, as a request of this page and as a command.

import { address, ask, askJson } from "../api.js";
import { apiKey } from "../api_key.js";

/**
 * @typedef {object} Wishes
 * @property {number} topK
 * @property {number} minConfidence 0..1
 * @property {boolean} noStore
 *
 * @param {string} model
 * @param {Blob} picture
 * @param {Wishes} wishes
 * @param {AbortSignal} signal
 * @returns {Promise<{results: import("./answer.js").Result[]}>}
 */
export function classify(model, picture, wishes, signal) {
  return askJson(pathOf(model, wishes), { method: "POST", body: picture, signal });
}

/**
 * @param {string} model
 * @param {Blob} picture
 * @param {AbortSignal} signal
 * @returns {Promise<Blob>} The picture as the model sees it.
 */
export async function canonical(model, picture, signal) {
  return (await ask(`v1/canonical/${encodeURIComponent(model)}`, { method: "POST", body: picture, signal })).blob();
}

/**
 * @param {string} model One that fills in what is transparent.
 * @param {Blob} picture
 * @param {AbortSignal} signal
 * @returns {Promise<Blob>} The picture as the model sees it, filled in.
 */
export async function completed(model, picture, signal) {
  return (await ask(`v1/complete/${encodeURIComponent(model)}`, { method: "POST", body: picture, signal })).blob();
}

/**
 * @param {string} model
 * @param {string} file Name of the picture.
 * @param {Wishes} wishes
 * @returns {string} The same request for a shell; a key stays out of it.
 */
export function curlCommand(model, file, wishes) {
  const key = apiKey() ? ` \\\n  -H "Authorization: Bearer $BICAMERAL_KEY"` : "";
  const quoted = `'${file.replaceAll("'", `'\\''`)}'`;
  return `curl --data-binary @${quoted}${key} \\\n  '${address(pathOf(model, wishes))}'`;
}

function pathOf(model, { topK, minConfidence, noStore }) {
  const query = new URLSearchParams({ top_k: String(topK) });
  if (minConfidence > 0) query.set("min_confidence", String(minConfidence));
  if (noStore) query.set("no_store", "true");
  return `v1/classify/${encodeURIComponent(model)}?${query}`;
}

/** Make the buttons work that copy a text. */
export function startCopying() {
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      button.textContent = await copied(document.getElementById(button.dataset.copies));
      button.addEventListener("blur", () => (button.textContent = "Copy"), { once: true });
    });
  }
}

/** Without https browsers give no clipboard; then the text is marked for Ctrl+C. */
async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    return "Marked";
  }
}
