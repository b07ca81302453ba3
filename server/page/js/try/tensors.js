// What the models take that are no classifiers of pictures: graphs that nobody described.

import { address } from "../api.js";
import { byId, element } from "../dom.js";

/**
 * @typedef {{name: string, datatype: string, shape: number[]}} TensorCard
 *
 * @param {{name: string, description: string, inputs: TensorCard[], outputs: TensorCard[]}[]} models
 */
export function showTensorModels(models) {
  byId("tensor-models").hidden = !models.length;
  byId("tensor-list").replaceChildren(
    ...models.map((model) =>
      element(
        "li",
        {},
        element("strong", {}, model.name),
        ...(model.description ? [` ${model.description}`] : []),
        element("p", { class: "muted" }, `takes ${model.inputs.map(told).join(", ")}`),
        element("p", { class: "muted" }, `gives ${model.outputs.map(told).join(", ")}`),
        element("p", {}, element("code", {}, `POST ${address(`v2/models/${encodeURIComponent(model.name)}/infer`)}`)),
      ),
    ),
  );
}

/** @param {TensorCard} tensor */
function told({ name, datatype, shape }) {
  return `${name} ${datatype} [${shape.map((size) => (size < 0 ? "any" : size)).join(", ")}]`;
}
