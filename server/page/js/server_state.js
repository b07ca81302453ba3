// The dot in the bar: is the server there, and can it answer?

import { ServerError, ask } from "./api.js";
import { byId } from "./dom.js";

const EVERY_MS = 5000;

/** Ask again and again while the page is looked at; a change to ready is the event "server-ready". */
export function startServerState() {
  let timer = 0;
  let before = "";

  async function look() {
    clearTimeout(timer);
    if (!document.hidden) {
      const [state, text] = await stateNow();
      if (state !== before) show(state, text);
      else byId("server-state-text").textContent = text;
      if (state === "ready" && before && before !== "ready") window.dispatchEvent(new Event("server-ready"));
      before = state;
    }
    timer = setTimeout(look, EVERY_MS);
  }

  document.addEventListener("visibilitychange", look);
  window.addEventListener("online", look);
  window.addEventListener("offline", look);
  look();
}

/** @returns {Promise<[string, string]>} */
async function stateNow() {
  try {
    await ask("v2/health/ready");
    return ["ready", "Ready"];
  } catch (error) {
    if (error instanceof ServerError && error.status) return ["not-ready", error.message];
    return ["offline", "The server cannot be reached"];
  }
}

function show(state, text) {
  byId("server-state").dataset.state = state;
  byId("server-state").title = text;
  byId("server-state-text").textContent = text;
}
