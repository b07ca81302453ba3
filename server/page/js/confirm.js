// A question before something is done that concerns everybody.

import { byId } from "./dom.js";

/**
 * @param {string} title
 * @param {string} text What will happen.
 * @param {string} deed What the button says that does it.
 * @returns {Promise<boolean>} Whether it is to be done.
 */
export function confirmed(title, text, deed) {
  const dialog = byId("confirm-dialog");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-do").textContent = deed;
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "do"), { once: true });
  });
}
