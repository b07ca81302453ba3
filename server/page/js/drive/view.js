// What an agent sees and decides, at this moment and in the last minute.

import { element, svg } from "../dom.js";
import { fixed, inWords } from "../format.js";
import { Hud } from "./hud.js";

const WIDTH = 600, HEIGHT = 60, KEPT_S = 60;

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
 * @property {number} steer -1..1, positive is right.
 * @property {number} throttle 0..1
 * @property {number} brake 0..1
 * @property {number | null} confidence 0..1
 * @property {number | null} steer_raw Before the correction.
 * @property {string} branch Of the correction; "none": it did nothing.
 * @property {Record<string, number | null>} diagnostics
 * @property {string} picture A data URL of a JPEG.
 */

export class DriveView {
  /** @type {Pick<LiveTick, "stream" | "time_s" | "steer" | "confidence">[]} The last minute of one drive. */
  #ticks = [];
  #canvas = element("canvas", { role: "img", "aria-label": "What the agent sees" });
  #hud = new Hud();
  #confidence = svg("path", { class: "confidence-line" });
  #steering = svg("path", { class: "steer-line" });
  #title = element("h2");
  #about = element("p", { class: "muted small" });
  #time = element("dd");

  /** @param {HTMLElement} place Hidden until there is something to see. */
  constructor(place) {
    this.place = place;
    place.append(
      element("section", { class: "card drive-main", "aria-label": "Drive" },
        element("div", { class: "screen" }, this.#canvas, this.#hud.root),
        strip("confidence, last minute", this.#confidence), strip("steering", this.#steering)),
      element("section", { class: "card drive-side", "aria-label": "About this drive" }, this.#title, this.#about,
        element("dl", { class: "drive-facts" }, element("div", {}, element("dt", {}, "Time driven"), this.#time))),
    );
  }

  /** @param {LiveTick} tick */
  show(tick) {
    this.place.hidden = false;
    this.#keep(tick);
    this.#hud.show(tick);
    this.#confidence.setAttribute("d", this.#curve("confidence", 0, 1));
    const largest = Math.max(0.05, ...this.#ticks.map(({ steer }) => Math.abs(steer)));
    this.#steering.setAttribute("d", this.#curve("steer", largest, -largest)); // right is down
    this.#title.textContent = `${tick.town}, live`;
    this.#about.textContent = `${tick.model}, correction ${inWords(tick.correction)}${tick.second ? ` with ${tick.second}` : ""}, ${inWords(tick.route)}`;
    this.#time.textContent = `${fixed(tick.time_s, 1)} s`;
    this.#draw(tick.picture);
  }

  #keep({ stream, time_s, steer, confidence }) {
    const last = this.#ticks.at(-1);
    if (last?.stream !== stream || time_s < last.time_s) this.#ticks = []; // another drive
    this.#ticks.push({ stream, time_s, steer, confidence });
    this.#ticks = this.#ticks.filter((tick) => tick.time_s >= time_s - KEPT_S);
  }

  /** A curve that moves to the left. */
  #curve(name, low, high) {
    const endS = this.#ticks.at(-1).time_s;
    const known = this.#ticks.filter((tick) => tick[name] !== null);
    const x = (tick) => WIDTH - ((endS - tick.time_s) / KEPT_S) * WIDTH;
    const y = (tick) => HEIGHT - 3 - ((tick[name] - low) / (high - low)) * (HEIGHT - 6);
    const points = known.map((tick) => `${x(tick).toFixed(1)} ${y(tick).toFixed(1)}`);
    return points.length ? `M${points.join("L")}` : "";
  }

  /** The policy of this page lets no data URL be fetched or shown, so it is taken apart here. */
  async #draw(url) {
    const bytes = Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
    this.#canvas.width = bitmap.width;
    this.#canvas.height = bitmap.height;
    this.#canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
  }
}

function strip(title, curve) {
  return element("div", { class: "strip" },
    element("span", { class: "strip-title" }, title),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, curve));
}
