// The bar: is the server there, can it answer, and which of the panels is shown.

import { ServerError, ask } from "./api.js";
import { byId } from "./dom.js";

const EVERY_MS = 5000;

/** Ask again and again while the page is looked at; that the server is back is the event "server-ready". */
export function startServerState() {
  const place = byId("server-state");
  let timer = 0;

  async function look() {
    clearTimeout(timer);
    if (!document.hidden) {
      const before = place.dataset.state;
      const [state, text] = await stateNow();
      place.dataset.state = state;
      byId("server-state-text").textContent = place.title = text;
      if (state === "ready" && ["not-ready", "offline"].includes(before)) window.dispatchEvent(new Event("server-ready"));
    }
    clearTimeout(timer);
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

/**
 * Make the tabs work, each with an address (#try, #live, #drive).
 * @param {(name: string) => void} onShow Called with the name of the panel that is shown.
 */
export function startTabs(onShow) {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const nameOf = (tab) => tab.id.replace("tab-", "");

  function show(name) {
    const chosen = tabs.find((tab) => nameOf(tab) === name) ?? tabs[0];
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
    onShow(nameOf(chosen));
  }

  function choose(tab) {
    history.replaceState(null, "", `#${nameOf(tab)}`);
    show(nameOf(tab));
  }

  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const places = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: -1 };
      if (!(event.key in places)) return;
      event.preventDefault();
      const next = tabs.at(places[event.key] % tabs.length);
      next.focus();
      choose(next);
    });
  }
  window.addEventListener("hashchange", () => show(location.hash.slice(1)));
  show(location.hash.slice(1));
}
