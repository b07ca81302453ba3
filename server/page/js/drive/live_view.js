// What an agent sees and decides, at this moment.

import { element } from "../dom.js";
import { fixed } from "../format.js";
import { branchInWords } from "./colours.js";
import { Hud } from "./hud.js";
import { Rolling } from "./rolling.js";

/**
 * @typedef {object} LiveTick
 * @property {string} stream
 * @property {string} model
 * @property {string} correction
 * @property {string | null} second
 * @property {string} route
 * @property {string} town
 * @property {number} time_s
 * @property {number} speed_mps
 * @property {number} steer
 * @property {number} throttle
 * @property {number} brake
 * @property {number | null} confidence
 * @property {number | null} steer_raw
 * @property {string} branch
 * @property {Record<string, number | null>} diagnostics
 * @property {string} picture A data URL of a JPEG.
 */

export class LiveView {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.canvas = element("canvas", { role: "img", "aria-label": "What the agent sees" });
    this.hud = new Hud();
    this.confidence = new Rolling("confidence, last minute", "confidence-line", () => [0, 1]);
    this.steering = new Rolling("steering", "steer-line", (values) => {
      const largest = Math.max(0.05, ...values.map(Math.abs));
      return [largest, -largest]; // right is down, as in recorded drives
    });
    this.title = element("h2", {});
    this.about = element("p", { class: "muted small" });
    this.time = element("dd", {});
    const facts = element("dl", { class: "drive-facts" }, element("div", {}, element("dt", {}, "Time driven"), this.time));
    place.replaceChildren(
      element("div", { class: "drive-columns" },
        element("section", { class: "card drive-main", "aria-label": "Drive" },
          element("div", { class: "screen" }, this.canvas, this.hud.root), this.confidence.root, this.steering.root),
        element("section", { class: "card drive-side", "aria-label": "About this drive" }, this.title, this.about, facts)),
    );
    place.hidden = false;
  }

  /** @param {LiveTick} tick */
  show(tick) {
    const branch = tick.branch === "none" ? "" : branchInWords(tick.branch);
    this.hud.show({
      steer: tick.steer, throttle: tick.throttle, brake: tick.brake, speedMps: tick.speed_mps, branch,
      steerRaw: tick.steer_raw ?? NaN, confidence: tick.confidence ?? NaN,
      askedB: (tick.diagnostics.asked_b ?? 0) > 0,
    });
    this.confidence.add(tick.time_s, tick.confidence ?? NaN);
    this.steering.add(tick.time_s, tick.steer);
    this.title.textContent = `${tick.town}, live`;
    this.about.textContent = `${tick.model}, correction ${tick.correction.replaceAll("_", " ")}${tick.second ? ` with ${tick.second}` : ""}, ${tick.route.replaceAll("_", " ")}`;
    this.time.textContent = `${fixed(tick.time_s, 1)} s`;
    this.#draw(tick.picture);
  }

  /** The policy of this page lets no data URL be fetched or shown, so it is taken apart here. */
  async #draw(url) {
    const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    this.canvas.width = bitmap.width;
    this.canvas.height = bitmap.height;
    this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  }
}
