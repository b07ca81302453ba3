// Failures, shown in the server's own words.

import { ServerError } from "./api.js";
import { askForKey } from "./api_key.js";
import { element } from "./dom.js";

/**
 * @param {HTMLElement} place
 * @param {unknown} error Null: there is none.
 */
export function showFailure(place, error) {
  place.hidden = error === null;
  if (error === null) {
    place.replaceChildren();
    return;
  }
  const message = error instanceof Error ? error.message : String(error);
  const status = error instanceof ServerError && error.status ? ` (${error.status})` : "";
  place.replaceChildren(message + status);
  if (error instanceof ServerError && (error.status === 401 || error.status === 403)) {
    const button = element("button", { type: "button", class: "button" }, "Enter an API key");
    button.addEventListener("click", askForKey);
    place.append(button);
  }
}
