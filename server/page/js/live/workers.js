// The processes that answer.

import { askJson } from "../api.js";
import { byId, element } from "../dom.js";

/** Show them as they are now; who may not know sees why. */
export async function showWorkers() {
  const place = byId("workers");
  try {
    const { ready, reason, workers } = await askJson("v1/workers");
    place.replaceChildren(...(ready ? [] : [item("Not ready", "", [reason])]), ...workers.map(worker));
  } catch (error) {
    place.replaceChildren(element("li", { class: "muted small" }, error.message));
  }
}

/** @param {{slot: number, pid: number, failures: Record<string, string>}} status */
function worker({ slot, pid, failures }) {
  return item(`Worker ${slot + 1}`, ` process ${pid}`, Object.entries(failures).map(([model, why]) => `${model}: ${why}`));
}

function item(title, more, problems) {
  return element(
    "li", { class: "worker", "data-good": problems.length === 0 },
    element("strong", {}, title), element("span", { class: "muted" }, more),
    ...problems.map((problem) => element("p", { class: "small" }, problem)),
  );
}
