// Pictures that are dropped, pasted or chosen.

import { byId } from "../dom.js";

/**
 * @param {(file: File) => void} onPicture
 * @param {(message: string) => void} onNothing Called when something else was dropped.
 */
export function startPictureFile(onPicture, onNothing) {
  const drop = byId("drop");
  const input = byId("file");
  input.addEventListener("change", () => {
    if (input.files.length) onPicture(input.files[0]);
    input.value = "";
  });

  // The whole page takes drops, so that a picture that misses the square does not replace the page.
  let inside = 0;
  const shown = () => !byId("panel-try").hidden;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  window.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    inside += 1;
    drop.classList.add("over");
  });
  window.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    inside -= 1;
    drop.classList.toggle("over", inside > 0);
  });
  window.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    inside = 0;
    drop.classList.remove("over");
    if (!hasFiles(event) || event.defaultPrevented) return;
    event.preventDefault();
    if (shown()) take(event.dataTransfer.files, onPicture, onNothing);
  });
  window.addEventListener("paste", (event) => {
    if (shown() && event.clipboardData?.files.length) take(event.clipboardData.files, onPicture, onNothing);
  });
}

function take(files, onPicture, onNothing) {
  const picture = [...files].find((file) => file.type.startsWith("image/"));
  if (picture) onPicture(picture);
  else onNothing(`${files[0]?.name || "that"} is no picture; JPEG, PNG, WebP and BMP are known here`);
}
