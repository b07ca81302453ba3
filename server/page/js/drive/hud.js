// Steering, confidence, speed and branch, drawn over the picture.

import { element, svg } from "../dom.js";
import { fixed, percent } from "../format.js";
import { confidenceColour } from "./colours.js";

/** Degrees that the drawn wheel turns for full steering: one turn and a quarter. */
const WHEEL_DEG = 450;
/** Degrees of the arc above the wheel for full steering. The agents seldom use more than 0.4. */
const ARC_DEG = 110;
const ARC_GAIN = 2.5;

/**
 * @typedef {object} HudState
 * @property {number} steer -1..1
 * @property {number} steerRaw NaN: there is none.
 * @property {number} confidence NaN: there is none.
 * @property {number} speedMps
 * @property {number} throttle 0..1
 * @property {number} brake 0..1
 * @property {string} branch In words; empty: there is none.
 * @property {boolean} askedB
 */

export class Hud {
  constructor() {
    this.wheel = svg("g", { class: "wheel" },
      svg("circle", { r: 26, class: "wheel-rim" }),
      svg("path", { d: "M-26 0H26M0 4V26", class: "wheel-spokes" }),
      svg("circle", { r: 6, class: "wheel-hub" }),
    );
    this.arc = svg("path", { class: "steer-arc" });
    this.raw = svg("path", { class: "steer-raw", d: "M0-41V-33" });
    this.ring = svg("path", { class: "ring-value" });
    this.ringNumber = svg("text", { class: "ring-number", y: 6 });
    this.steerText = element("span", {});
    this.speed = element("strong", { class: "hud-speed" });
    this.throttle = element("span", { class: "pedal-fill throttle" });
    this.brake = element("span", { class: "pedal-fill brake" });
    this.branch = element("span", { class: "branch" });
    this.root = element(
      "div", { class: "hud" },
      element("div", { class: "hud-part" },
        element("p", {}, this.speed, element("span", {}, " km/h")),
        element("div", { class: "pedals", "aria-hidden": "true" }, pedal("throttle", this.throttle), pedal("brake", this.brake)),
      ),
      element("div", { class: "hud-part hud-wheel" },
        svg("svg", { viewBox: "-46 -46 92 76", "aria-hidden": "true" },
          svg("path", { class: "arc-ground", d: arcPath(-ARC_DEG, ARC_DEG) }), this.arc, this.raw, this.wheel),
        this.steerText,
      ),
      element("div", { class: "hud-part hud-confidence" },
        svg("svg", { viewBox: "-34 -34 68 60", "aria-hidden": "true" },
          svg("path", { class: "ring-ground", d: ringPath(1) }), this.ring, this.ringNumber),
        element("span", {}, "confidence"),
      ),
      this.branch,
    );
  }

  /** @param {HudState} state */
  show(state) {
    this.wheel.setAttribute("transform", `rotate(${(WHEEL_DEG * state.steer).toFixed(1)})`);
    const angle = arcAngle(state.steer);
    this.arc.setAttribute("d", arcPath(Math.min(0, angle), Math.max(0, angle)));
    this.raw.style.visibility = Number.isFinite(state.steerRaw) ? "visible" : "hidden";
    if (Number.isFinite(state.steerRaw)) this.raw.setAttribute("transform", `rotate(${arcAngle(state.steerRaw).toFixed(1)})`);
    this.steerText.textContent = `steer ${state.steer < 0 ? "−" : "+"}${fixed(Math.abs(state.steer), 2)}`;
    const known = Number.isFinite(state.confidence);
    this.ring.setAttribute("d", ringPath(known ? state.confidence : 0));
    this.ring.style.stroke = confidenceColour(state.confidence);
    this.ringNumber.textContent = known ? fixed(state.confidence, 2) : "–";
    this.speed.textContent = fixed(3.6 * state.speedMps, 0);
    this.throttle.style.width = `${100 * state.throttle}%`;
    this.brake.style.width = `${100 * state.brake}%`;
    this.branch.textContent = state.branch;
    this.branch.hidden = !state.branch;
    this.branch.toggleAttribute("data-asked", state.askedB);
  }
}

/**
 * @param {HudState} state
 * @returns {string} The same in words.
 */
export function stateInWords(state) {
  const side = Math.abs(state.steer) < 0.005 ? "straight" : `${fixed(Math.abs(state.steer), 2)} to the ${state.steer < 0 ? "left" : "right"}`;
  const confidence = Number.isFinite(state.confidence) ? `, ${percent(state.confidence)} confident` : "";
  return `${fixed(3.6 * state.speedMps, 0)} km/h, steering ${side}${confidence}${state.branch ? `, ${state.branch}` : ""}`;
}

function pedal(name, fill) {
  return element("span", { class: "pedal" }, element("span", {}, name), element("span", { class: "pedal-track" }, fill));
}

function arcAngle(steer) {
  return Math.max(-ARC_DEG, Math.min(ARC_DEG, ARC_DEG * ARC_GAIN * steer));
}

/** From one angle to another in degrees, 0 is up, on a circle above the wheel. */
function arcPath(fromDeg, toDeg) {
  const point = (deg) => {
    const angle = (deg * Math.PI) / 180;
    return `${(37 * Math.sin(angle)).toFixed(2)} ${(-37 * Math.cos(angle)).toFixed(2)}`;
  };
  const large = toDeg - fromDeg > 180 ? 1 : 0;
  return `M${point(fromDeg)}A37 37 0 ${large} 1 ${point(toDeg)}`;
}

/** Three quarters of a circle, filled up to a share. */
function ringPath(share) {
  const end = -135 + 270 * Math.min(1, Math.max(0.001, share));
  const point = (deg) => {
    const angle = (deg * Math.PI) / 180;
    return `${(27 * Math.sin(angle)).toFixed(2)} ${(-27 * Math.cos(angle)).toFixed(2)}`;
  };
  return `M${point(-135)}A27 27 0 ${end + 135 > 180 ? 1 : 0} 1 ${point(end)}`;
}
