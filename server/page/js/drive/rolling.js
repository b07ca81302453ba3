// A curve of the last seconds, which moves to the left.

import { element, svg } from "../dom.js";

const WIDTH = 600, HEIGHT = 60, KEPT_S = 60;

export class Rolling {
  #points = [];

  /**
   * @param {string} title
   * @param {string} line Class of the curve.
   * @param {(values: number[]) => [number, number]} rangeOf Lowest and highest value to show.
   */
  constructor(title, line, rangeOf) {
    this.rangeOf = rangeOf;
    this.path = svg("path", { class: line });
    this.root = element("div", { class: "strip" },
      element("span", { class: "strip-title" }, title),
      svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: "rolling", "aria-hidden": "true" }, this.path));
  }

  /**
   * @param {number} timeS
   * @param {number} value NaN: there is none.
   */
  add(timeS, value) {
    // Another drive has begun.
    if (this.#points.length && timeS < this.#points.at(-1)[0]) this.#points = [];
    this.#points.push([timeS, value]);
    this.#points = this.#points.filter(([at]) => at >= timeS - KEPT_S);
    const known = this.#points.filter(([, one]) => Number.isFinite(one));
    const [low, high] = this.rangeOf(known.map(([, one]) => one));
    const x = (at) => WIDTH - ((timeS - at) / KEPT_S) * WIDTH;
    const y = (one) => HEIGHT - 3 - ((one - low) / (high - low)) * (HEIGHT - 6);
    const places = known.map(([at, one]) => `${x(at).toFixed(1)} ${y(one).toFixed(1)}`);
    this.path.setAttribute("d", places.length ? `M${places.join("L")}` : "");
  }
}
