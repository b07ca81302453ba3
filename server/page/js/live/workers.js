// The processes that answer.

import { askJson } from "../api.js";
import { byId, element } from "../dom.js";

/** Show them as they are now. */
export async function showWorkers() {
  const { ready, reason, workers } = await askJson("v1/workers");
  const items = workers.map(({ slot, pid, failures }) => {
    const failed = Object.entries(failures);
    const node = element(
      "li", { class: "worker", "data-good": failed.length === 0 },
      element("strong", {}, `Worker ${slot + 1}`), element("span", { class: "muted" }, ` process ${pid}`),
    );
    for (const [model, why] of failed) node.append(element("p", { class: "small" }, `${model}: ${why}`));
    return node;
  });
  if (!ready) items.unshift(element("li", { class: "worker", "data-good": false }, element("strong", {}, "Not ready"), element("p", { class: "small" }, reason)));
  byId("workers").replaceChildren(...items);
}
