// The three panels as tabs, each with an address (#try, #live, #drive).

/**
 * @param {(name: string) => void} onShow Called with the name of the panel that is shown.
 */
export function startTabs(onShow) {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const nameOf = (tab) => tab.id.replace("tab-", "");

  function show(name) {
    const chosen = tabs.find((tab) => nameOf(tab) === name) ?? tabs[0];
    for (const tab of tabs) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !selected;
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
      const places = { ArrowRight: index + 1, ArrowLeft: index - 1 + tabs.length, Home: 0, End: tabs.length - 1 };
      if (!(event.key in places)) return;
      event.preventDefault();
      const next = tabs[places[event.key] % tabs.length];
      next.focus();
      choose(next);
    });
  }
  window.addEventListener("hashchange", () => show(location.hash.slice(1)));
  show(location.hash.slice(1));
}
