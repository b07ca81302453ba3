// Buttons that copy a text.

/** Make all of them work. */
export function startCopying() {
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copies);
      button.textContent = (await copied(source)) ? "Copied" : "Marked";
      button.addEventListener("blur", () => (button.textContent = "Copy"), { once: true });
    });
  }
}

/** Without https browsers give no clipboard; then the text is marked for Ctrl+C. */
async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return false;
  }
}
