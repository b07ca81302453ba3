// Plays one episode.

import { element } from "../dom.js";
import { fixed } from "../format.js";
import { Clock } from "./clock.js";
import { branchInWords } from "./colours.js";
import { tickAt } from "./episode.js";
import { Hud, stateInWords } from "./hud.js";
import { RouteMap } from "./route_map.js";
import { Timeline } from "./timeline.js";

const RATES = [0.25, 0.5, 1, 2, 4];
/** What an arrow key moves the slider by: a tick of the simulation. */
const STEP_S = 0.05;

export class Player {
  #videoUrl = "";

  /**
   * @param {HTMLElement} place
   * @param {import("./episode.js").Episode} episode
   * @param {Blob | null} videoFile
   */
  constructor(place, episode, videoFile) {
    this.episode = episode;
    this.map = new RouteMap(episode);
    this.hud = new Hud();
    this.video = videoFile && this.#makeVideo(videoFile);
    this.clock = new Clock(episode.timeS.at(-1), this.video, () => this.#show());
    this.timeline = new Timeline(episode, (timeS) => this.clock.seek(timeS));
    const screen = element("div", { class: "screen" }, this.video ?? this.map.root, this.hud.root);
    const side = element("section", { class: "card drive-side", "aria-label": "About this drive" },
      element("h2", {}, episode.title), element("p", { class: "muted small" }, episode.subtitle),
      ...(this.video ? [this.map.root] : []), this.#facts());
    place.replaceChildren(
      element("div", { class: "drive-columns" },
        element("section", { class: "card drive-main", "aria-label": "Drive" }, screen, this.#controls(), this.timeline.root), side),
    );
    place.hidden = false;
    this.#show();
  }

  /** Stop and release the video. */
  close() {
    this.clock.pause();
    this.video?.removeAttribute("src");
    URL.revokeObjectURL(this.#videoUrl);
  }

  #makeVideo(file) {
    this.#videoUrl = URL.createObjectURL(file);
    const video = element("video", { src: this.#videoUrl, playsinline: true, preload: "auto", "aria-label": "The drive, seen from behind the vehicle" });
    video.muted = true;
    video.addEventListener("error", () => video.replaceWith(element("p", { class: "drop-text" }, "This browser cannot play the video.")));
    return video;
  }

  #controls() {
    this.button = element("button", { type: "button", class: "button primary play" }, "Play");
    this.button.addEventListener("click", () => (this.clock.playing ? this.clock.pause() : this.clock.play()));
    this.slider = element("input", { type: "range", min: 0, max: this.episode.timeS.at(-1), step: STEP_S, value: 0, "aria-label": "Moment" });
    this.slider.addEventListener("input", () => this.clock.seek(Number(this.slider.value)));
    this.time = element("span", { class: "number time" });
    const rate = element("select", { "aria-label": "Speed", class: "rate" }, ...RATES.map((one) => element("option", { value: one, selected: one === 1 }, `${one} ×`)));
    rate.addEventListener("change", () => (this.clock.rate = Number(rate.value)));
    return element("div", { class: "drive-controls" }, this.button, this.slider, this.time, rate);
  }

  #facts() {
    const { timeS, confidence, askedB, crossTrackM, collisions } = this.episode;
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const known = confidence.filter(Number.isFinite);
    const facts = [
      ["Duration", `${fixed(timeS.at(-1), 1)} s`],
      ["Mean confidence", known.length ? fixed(mean(known), 2) : "–"],
      ["Second network asked", `${fixed(100 * mean(askedB.map(Number)), 0)} % of the time`],
      ["Largest distance from the route", `${fixed(Math.max(...crossTrackM.map(Math.abs)), 2)} m`],
      ["Collisions", collisions.length ? collisions.map(({ other, timeS: at }) => `${other} at ${fixed(at, 1)} s`).join(", ") : "none"],
    ];
    return element("dl", { class: "drive-facts" }, ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  }

  #show() {
    const { episode, clock } = this;
    const timeS = clock.timeS;
    const state = stateAt(episode, tickAt(episode.timeS, timeS));
    this.hud.show(state);
    this.map.show(tickAt(episode.timeS, timeS));
    this.timeline.show(timeS);
    this.button.textContent = clock.playing ? "Pause" : "Play";
    this.time.textContent = `${fixed(timeS, 1)} / ${fixed(clock.endS, 1)} s`;
    if (document.activeElement !== this.slider || clock.playing) this.slider.value = String(timeS);
    this.slider.setAttribute("aria-valuetext", `${fixed(timeS, 1)} seconds: ${stateInWords(state)}`);
  }
}

/** @returns {import("./hud.js").HudState} */
function stateAt(episode, tick) {
  const branch = episode.branches[episode.branch[tick]] ?? "none";
  return {
    steer: episode.steer[tick],
    steerRaw: episode.steerRaw[tick],
    confidence: episode.confidence[tick],
    speedMps: episode.speedMps[tick],
    throttle: episode.throttle[tick],
    brake: episode.brake[tick],
    branch: branch === "none" ? "" : branchInWords(branch),
    askedB: episode.askedB[tick],
  };
}
