// The models that answer, as the server describes them.

import { askJson } from "./api.js";

/**
 * @typedef {object} ImageCard
 * @property {number} height
 * @property {number} width
 * @property {"GRAY" | "RGB" | "BGR"} color
 * @property {boolean} invert Whether the model sees the negative.
 *
 * @typedef {object} CascadeCard
 * @property {string} a
 * @property {string | null} b Null: an early exit, which asks A's own next block.
 * @property {number} threshold A's score below which B is asked.
 * @property {boolean} memory
 *
 * @typedef {object} ModelCard
 * @property {string} name
 * @property {string} version
 * @property {"classifier" | "cascade" | "agent"} kind
 * @property {string[]} labels
 * @property {ImageCard | null} image Null: it does not classify pictures.
 * @property {CascadeCard | null} cascade
 * @property {{metric: string, value: number, ci95: [number, number] | null, n: number, split: string}[]} claims
 * @property {string} limits
 * @property {string} license
 */

/** @returns {Promise<ModelCard[]>} All of them. */
export function readModels() {
  return askJson("v1/models");
}

/**
 * @param {ModelCard[]} models
 * @returns {ModelCard[]} Those that take pictures, cascades first.
 */
export function forPictures(models) {
  const cascades = models.filter((model) => model.image && model.cascade);
  return [...cascades, ...models.filter((model) => model.image && !model.cascade)];
}
