// The API key: kept for this tab only, never in a URL, never shown.

import { byId } from "./dom.js";

const KEY = "bicameral.api-key";

/** @returns {string} The key, or an empty string. */
export function apiKey() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Make the button and the dialog work; a change is announced as the event "api-key". */
export function startApiKey() {
  const dialog = byId("key-dialog");
  const input = byId("key-input");
  byId("key-button").addEventListener("click", askForKey);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    dialog.close("keep");
  });
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "keep") sessionStorage.setItem(KEY, input.value.trim());
    if (dialog.returnValue === "forget" || !apiKey()) sessionStorage.removeItem(KEY);
    input.value = "";
    if (dialog.returnValue !== "cancel") window.dispatchEvent(new Event("api-key"));
    show();
  });
  show();
}

/** Open the dialog. */
export function askForKey() {
  byId("key-dialog").returnValue = "cancel";
  byId("key-dialog").showModal();
}

function show() {
  const button = byId("key-button");
  button.toggleAttribute("data-set", Boolean(apiKey()));
  button.setAttribute("aria-label", apiKey() ? "API key: set" : "API key: none");
}
