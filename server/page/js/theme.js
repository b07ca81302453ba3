// The system's colours, light ones or dark ones. It runs before anything is painted, so that chosen
// colours do not flash; that is why it is no module.
{
  const KEY = "bicameral.theme";
  const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };
  const ORDER = Object.keys(NAMES);
  const root = document.documentElement;

  const use = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
  };
  const stored = localStorage.getItem(KEY);
  let theme = ORDER.includes(stored) ? stored : "auto";
  use(theme);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme-button");
    const show = () => {
      document.getElementById("theme-text").textContent = NAMES[theme];
      button.setAttribute("aria-label", `Colours: ${NAMES[theme].toLowerCase()}`);
    };
    button.addEventListener("click", () => {
      theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
      localStorage.setItem(KEY, theme);
      use(theme);
      show();
    });
    show();
  });
}
