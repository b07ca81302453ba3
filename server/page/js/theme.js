// The button that changes between the system's colours, light and dark.

const ORDER = ["auto", "light", "dark"];
const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };
const KEY = "bicameral.theme";

/** Make the button work. */
export function startTheme() {
  const button = document.getElementById("theme-button");
  show(button, document.documentElement.dataset.theme ?? "auto");
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? "auto";
    const next = ORDER[(ORDER.indexOf(now) + 1) % ORDER.length];
    if (next === "auto") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem(KEY);
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem(KEY, next);
    }
    show(button, next);
  });
}

function show(button, theme) {
  document.getElementById("theme-text").textContent = NAMES[theme];
  button.setAttribute("aria-label", `Colours: ${NAMES[theme].toLowerCase()}`);
}
