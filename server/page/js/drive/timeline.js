// Confidence, steering and branches over time, with a mark at the shown moment.

import { element, svg } from "../dom.js";
import { branchColour, branchInWords } from "./colours.js";

const WIDTH = 1000, CURVE = 60, BAND = 14;

export class Timeline {
  /**
   * @param {import("./episode.js").Episode} episode
   * @param {(timeS: number) => void} onSeek
   */
  constructor(episode, onSeek) {
    this.endS = episode.timeS.at(-1) || 1;
    this.marks = [];
    this.root = element("div", { class: "timeline" },
      this.#strip("confidence", this.#confidence(episode)),
      this.#strip("steering", this.#steering(episode)),
      this.#strip("correction", this.#branches(episode)),
      legend(episode),
    );
    // The slider below does the same for the keyboard.
    for (const chart of this.root.querySelectorAll("svg")) {
      const seek = (event) => {
        const box = chart.getBoundingClientRect();
        onSeek(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * this.endS);
      };
      chart.addEventListener("pointerdown", (event) => {
        chart.setPointerCapture(event.pointerId);
        seek(event);
      });
      chart.addEventListener("pointermove", (event) => {
        if (event.buttons) seek(event);
      });
    }
  }

  /** @param {number} timeS */
  show(timeS) {
    for (const mark of this.marks) mark.setAttribute("x", this.#x(timeS) - 1);
  }

  #x(timeS) {
    return (timeS / this.endS) * WIDTH;
  }

  #strip(title, chart) {
    const mark = svg("rect", { class: "now", y: 0, width: 3, height: "100%" });
    this.marks.push(mark);
    chart.append(mark);
    return element("div", { class: "strip" }, element("span", { class: "strip-title" }, title), chart);
  }

  #confidence(episode) {
    const chart = canvas(CURVE);
    const points = episode.timeS.map((timeS, k) => [this.#x(timeS), CURVE - CURVE * episode.confidence[k]]);
    const line = pathOf(points);
    if (line) {
      chart.append(
        svg("path", { class: "confidence-area", d: `${line}L${points.at(-1)[0].toFixed(1)} ${CURVE}L0 ${CURVE}z` }),
        svg("path", { class: "confidence-line", d: line }),
      );
    }
    return chart;
  }

  #steering(episode) {
    const chart = canvas(CURVE);
    const largest = Math.max(0.05, ...episode.steer.map(Math.abs), ...episode.steerRaw.filter(Number.isFinite).map(Math.abs));
    const y = (value) => CURVE / 2 + (value / largest) * (CURVE / 2 - 3);
    const line = (values) => pathOf(episode.timeS.map((timeS, k) => [this.#x(timeS), y(values[k])]));
    chart.append(
      svg("line", { class: "zero", x1: 0, x2: WIDTH, y1: CURVE / 2, y2: CURVE / 2 }),
      svg("path", { class: "steer-raw-line", d: line(episode.steerRaw) }),
      svg("path", { class: "steer-line", d: line(episode.steer) }),
    );
    for (const { timeS } of episode.collisions) {
      chart.append(svg("line", { class: "collision", x1: this.#x(timeS), x2: this.#x(timeS), y1: 0, y2: CURVE }));
    }
    return chart;
  }

  #branches(episode) {
    const chart = canvas(BAND);
    let start = 0;
    episode.branch.forEach((branch, k) => {
      const last = k === episode.branch.length - 1;
      if (!last && episode.branch[k + 1] === branch) return;
      const x = this.#x(episode.timeS[start]);
      const end = last ? WIDTH : this.#x(episode.timeS[k + 1]);
      const piece = svg("rect", { x, width: Math.max(1, end - x), height: BAND });
      piece.style.fill = branchColour(episode.branches[branch] ?? "none", branch);
      chart.append(piece);
      start = k + 1;
    });
    return chart;
  }
}

function canvas(height) {
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", class: height === BAND ? "band" : "curve", "aria-hidden": "true" });
}

/** @returns {string} A path with gaps where a value is no number. */
function pathOf(points) {
  let path = "", open = false;
  for (const [x, y] of points) {
    if (Number.isFinite(y)) path += `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    open = Number.isFinite(y);
  }
  return path;
}

function legend(episode) {
  const items = episode.branches.map((name, branch) => {
    const key = element("span", { class: "share-key", "aria-hidden": "true" });
    key.style.background = branchColour(name, branch);
    return element("li", {}, key, branchInWords(name));
  });
  return element("ul", { class: "share-list branch-legend" }, ...items);
}
