// The route from above, and what was driven of it in the colour of the confidence.

import { svg } from "../dom.js";
import { confidenceColour } from "./colours.js";

const MARGIN_M = 12;
/** Every so many ticks are one piece of the line. */
const STEP = 3;

export class RouteMap {
  /** @param {import("./episode.js").Episode} episode */
  constructor(episode) {
    this.episode = episode;
    const xs = [...(episode.route?.x ?? []), ...episode.xM];
    const ys = [...(episode.route?.y ?? []), ...episode.yM];
    const box = boxAround(xs, ys);
    const unit = Math.max(box.width, box.height) / 400;
    this.root = svg("svg", {
      class: "route-map", role: "img", "aria-label": "The route from above",
      viewBox: `${box.x} ${box.y} ${box.width} ${box.height}`, preserveAspectRatio: "xMidYMid meet",
    });
    if (episode.route) {
      const points = episode.route.x.map((x, k) => `${x.toFixed(1)} ${episode.route.y[k].toFixed(1)}`);
      this.root.append(svg("path", { class: "road", d: `M${points.join("L")}`, "stroke-width": 10 * unit }));
    }
    for (let k = STEP; k < episode.xM.length; k += STEP) {
      const piece = svg("line", { x1: episode.xM[k - STEP], y1: episode.yM[k - STEP], x2: episode.xM[k], y2: episode.yM[k], "stroke-width": 3.5 * unit });
      piece.style.stroke = confidenceColour(episode.confidence[k]);
      this.root.append(piece);
    }
    this.vehicle = svg("circle", { class: "vehicle", r: 7 * unit, "stroke-width": 3 * unit });
    this.root.append(this.vehicle);
  }

  /** @param {number} tick */
  show(tick) {
    this.vehicle.setAttribute("cx", this.episode.xM[tick]);
    this.vehicle.setAttribute("cy", this.episode.yM[tick]);
  }
}

/** At least as wide as high by a third, so that a straight road is no hairline. */
function boxAround(xs, ys) {
  const low = (values) => values.reduce((one, other) => Math.min(one, other), Infinity);
  const high = (values) => values.reduce((one, other) => Math.max(one, other), -Infinity);
  const width = high(xs) - low(xs) + 2 * MARGIN_M, height = high(ys) - low(ys) + 2 * MARGIN_M;
  const side = Math.max(width, height) / 2.2;
  const wide = Math.max(width, side), tall = Math.max(height, side);
  return { x: (low(xs) + high(xs) - wide) / 2, y: (low(ys) + high(ys) - tall) / 2, width: wide, height: tall };
}
