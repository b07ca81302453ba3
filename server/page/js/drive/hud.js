// Steering, confidence, speed and branch, drawn over the picture.

import { element, svg } from "../dom.js";
import { fixed, inWords } from "../format.js";

/** Degrees that the drawn wheel turns for full steering: one turn and a quarter. */
const WHEEL_DEG = 450;
/** Degrees of the arc above the wheel for full steering. The agents seldom use more than 0.4. */
const ARC_DEG = 110;
const ARC_GAIN = 2.5;
/** The ring of the confidence is three quarters of a circle. */
const RING_DEG = 135;
/** Red, amber, green. */
const STOPS = [[196, 52, 60], [226, 148, 38], [44, 148, 104]];

export class Hud {
  #wheel = svg("g", { class: "wheel" },
    svg("circle", { r: 26, class: "wheel-rim" }), svg("path", { d: "M-26 0H26M0 4V26", class: "wheel-spokes" }), svg("circle", { r: 6, class: "wheel-hub" }));
  #arc = svg("path", { class: "steer-arc" });
  #raw = svg("path", { class: "steer-raw", d: "M0-41V-33" });
  #ring = svg("path", { class: "ring-value" });
  #ringNumber = svg("text", { class: "ring-number", y: 6 });
  #steer = element("span");
  #speed = element("strong", { class: "hud-speed" });
  #throttle = element("span", { class: "pedal-fill throttle" });
  #brake = element("span", { class: "pedal-fill brake" });
  #branch = element("span", { class: "branch" });

  root = element("div", { class: "hud" },
    element("div", { class: "hud-part" },
      element("p", {}, this.#speed, " km/h"),
      element("div", { class: "pedals", "aria-hidden": "true" }, pedal("throttle", this.#throttle), pedal("brake", this.#brake)),
    ),
    element("div", { class: "hud-part hud-wheel" },
      svg("svg", { viewBox: "-46 -46 92 76", "aria-hidden": "true" },
        svg("path", { class: "arc-ground", d: arcPath(37, -ARC_DEG, ARC_DEG) }), this.#arc, this.#raw, this.#wheel),
      this.#steer,
    ),
    element("div", { class: "hud-part hud-confidence" },
      svg("svg", { viewBox: "-34 -34 68 60", "aria-hidden": "true" },
        svg("path", { class: "ring-ground", d: arcPath(27, -RING_DEG, RING_DEG) }), this.#ring, this.#ringNumber),
      element("span", {}, "confidence"),
    ),
    this.#branch,
  );

  /** @param {import("./view.js").LiveTick} tick */
  show({ steer, steer_raw: raw, confidence, speed_mps: speedMps, throttle, brake, branch, diagnostics }) {
    this.#wheel.setAttribute("transform", `rotate(${(WHEEL_DEG * steer).toFixed(1)})`);
    this.#arc.setAttribute("d", arcPath(37, Math.min(0, arcAngle(steer)), Math.max(0, arcAngle(steer))));
    this.#raw.style.visibility = raw === null ? "hidden" : "visible";
    this.#raw.setAttribute("transform", `rotate(${arcAngle(raw ?? 0).toFixed(1)})`);
    this.#steer.textContent = `steer ${steer < 0 ? "−" : "+"}${fixed(Math.abs(steer), 2)}`;
    this.#ring.setAttribute("d", arcPath(27, -RING_DEG, RING_DEG * (2 * Math.max(0.001, confidence ?? 0) - 1)));
    this.#ring.style.stroke = confidence === null ? "var(--line-strong)" : confidenceColour(confidence);
    this.#ringNumber.textContent = fixed(confidence, 2);
    this.#speed.textContent = fixed(3.6 * speedMps, 0);
    this.#throttle.style.width = `${100 * throttle}%`;
    this.#brake.style.width = `${100 * brake}%`;
    this.#branch.textContent = branchInWords(branch);
    this.#branch.hidden = branch === "none";
    this.#branch.toggleAttribute("data-asked", diagnostics.asked_b > 0);
  }
}

function pedal(name, fill) {
  return element("span", { class: "pedal" }, element("span", {}, name), element("span", { class: "pedal-track" }, fill));
}

function arcAngle(steer) {
  return Math.max(-ARC_DEG, Math.min(ARC_DEG, ARC_DEG * ARC_GAIN * steer));
}

/** From one angle to another in degrees, 0 is up, on a circle around the middle. */
function arcPath(radius, fromDeg, toDeg) {
  const point = (deg) => {
    const angle = (deg * Math.PI) / 180;
    return `${(radius * Math.sin(angle)).toFixed(2)} ${(-radius * Math.cos(angle)).toFixed(2)}`;
  };
  return `M${point(fromDeg)}A${radius} ${radius} 0 ${toDeg - fromDeg > 180 ? 1 : 0} 1 ${point(toDeg)}`;
}

/** From red over amber to green; what is calibrated seldom falls below 0.3 for eleven classes. */
function confidenceColour(confidence) {
  const scaled = Math.min(1, Math.max(0, (confidence - 0.3) / 0.7)) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(scaled));
  return `rgb(${STOPS[low].map((value, k) => Math.round(value + (STOPS[low + 1][k] - value) * (scaled - low))).join(" ")})`;
}

/** The name of a branch of the correction, with its networks in capitals. */
function branchInWords(branch) {
  return inWords(branch.replace(/^second_opinion_/, "")).replace(/\b([ab])\b/g, (letter) => letter.toUpperCase());
}
