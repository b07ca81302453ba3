// Before anything is painted, so that a chosen theme does not flash; that is why it is no module.
{
  const stored = localStorage.getItem("bicameral.theme");
  if (stored === "light" || stored === "dark") document.documentElement.dataset.theme = stored;
}
