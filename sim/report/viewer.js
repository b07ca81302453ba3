"use strict";
/* Draws the chosen episode: map, curves over time, video. The data stand in the page as JSON. */
(function () {
  const DATA = JSON.parse(document.getElementById("episodes").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  // Names of the page's colours; they follow its light or dark theme.
  const A = "var(--a)", B = "var(--b)", GREEN = "var(--cascade)", VIOLET = "var(--reference)", RED = "var(--published)";
  const INK = "var(--ink)", PALE = "var(--pale)", LINE = "var(--line)", PAPER = "var(--paper)";
  const BRANCH_COLOURS = [PALE, A, B, VIOLET, GREEN, RED, "var(--little)"];

  function element(name, attributes, parent) {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) {
      // Only a style property may hold the name of a colour.
      if (key === "fill" || key === "stroke") node.style[key] = attributes[key];
      else node.setAttribute(key, attributes[key]);
    }
    if (parent) parent.appendChild(node);
    return node;
  }

  function confidenceColour(value) {
    if (value === null) return A;
    const stops = [[178, 24, 43], [244, 165, 30], [38, 130, 90]];
    const scaled = Math.min(1, Math.max(0, (value - 0.3) / 0.7)) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(scaled));
    const mix = stops[low].map((c, k) => Math.round(c + (stops[low + 1][k] - c) * (scaled - low)));
    return "rgb(" + mix.join(",") + ")";
  }

  function drawMap(episode, route) {
    const holder = document.getElementById("map");
    holder.replaceChildren();
    const xs = route.x.concat(episode.x), ys = route.y.concat(episode.y);
    const margin = 12;
    const centreX = (Math.min(...xs) + Math.max(...xs)) / 2, centreY = (Math.min(...ys) + Math.max(...ys)) / 2;
    const spanX = Math.max(...xs) - Math.min(...xs) + 2 * margin, spanY = Math.max(...ys) - Math.min(...ys) + 2 * margin;
    // A route straight north must not fill the page: the picture is at least as wide as high.
    const width = Math.max(spanX, spanY), height = Math.max(spanY, 0.4 * spanX);
    const x0 = centreX - width / 2, y0 = centreY - height / 2;
    // The world frame has x to the right and y downwards here, so left and right are as driven.
    const svg = element("svg", { viewBox: [x0, y0, width, height].join(" ") }, null);
    const unit = Math.max(width, height) / 400;
    const path = route.x.map((x, k) => (k ? "L" : "M") + x + " " + route.y[k]).join("");
    element("path", { d: path, fill: "none", stroke: PALE, "stroke-width": Math.max(3.5, 6 * unit) }, svg);
    for (let k = 1; k < episode.x.length; k++) {
      element("line", { x1: episode.x[k - 1], y1: episode.y[k - 1], x2: episode.x[k], y2: episode.y[k],
        stroke: confidenceColour(episode.confidence[k]), "stroke-width": 2 * unit, "stroke-linecap": "round" }, svg);
    }
    element("circle", { cx: route.x[0], cy: route.y[0], r: 4 * unit, fill: INK }, svg);
    for (const hit of episode.collisions) {
      element("circle", { cx: hit[0], cy: hit[1], r: 5 * unit, fill: "none", stroke: RED, "stroke-width": 2 * unit }, svg);
    }
    const marker = element("circle", { r: 4 * unit, fill: PAPER, stroke: INK, "stroke-width": 1.5 * unit }, svg);
    holder.appendChild(svg);
    return (index) => { marker.setAttribute("cx", episode.x[index]); marker.setAttribute("cy", episode.y[index]); };
  }

  function drawCurves(episode) {
    const holder = document.getElementById("curves");
    holder.replaceChildren();
    const W = 640, H = 96, LEFT = 44, RIGHT = 8;
    const end = episode.t[episode.t.length - 1] || 1;
    const toX = (t) => LEFT + (t / end) * (W - LEFT - RIGHT);
    const markers = [];
    const strips = [
      { title: "steering (-1..1, + right): applied; thin: before correction", range: null, series: [[episode.steer_raw, PALE], [episode.steer, A]] },
      { title: "calibrated confidence", range: [0, 1], series: [[episode.confidence, GREEN]] },
      { title: "cross-track error, m (+ right)", range: null, series: [[episode.cte, B]] },
      { title: "speed and speed limit, m/s", range: null, series: [[episode.limit, PALE], [episode.speed, VIOLET]] },
    ];
    for (const strip of strips) {
      const values = strip.series.flatMap((s) => s[0]).filter((v) => v !== null);
      if (!values.length) continue;
      let [low, high] = strip.range || [Math.min(...values, 0), Math.max(...values, 0)];
      if (high - low < 1e-6) high = low + 1;
      const toY = (v) => 16 + (1 - (v - low) / (high - low)) * (H - 24);
      const svg = element("svg", { viewBox: "0 0 " + W + " " + H }, null);
      element("text", { x: LEFT, y: 10 }, svg).textContent = strip.title;
      for (const tick of [low, high]) {
        element("text", { x: LEFT - 4, y: toY(tick) + 3, "text-anchor": "end" }, svg).textContent = tick.toFixed(2);
      }
      element("line", { x1: LEFT, x2: W - RIGHT, y1: toY(Math.max(low, 0)), y2: toY(Math.max(low, 0)), stroke: LINE }, svg);
      for (const [series, colour] of strip.series) {
        let d = "", pen = false;
        series.forEach((v, k) => {
          if (v === null) { pen = false; return; }
          d += (pen ? "L" : "M") + toX(episode.t[k]).toFixed(1) + " " + toY(v).toFixed(1);
          pen = true;
        });
        element("path", { d: d, fill: "none", stroke: colour, "stroke-width": 1.4 }, svg);
      }
      markers.push(element("line", { y1: 14, y2: H, stroke: INK, "stroke-width": 0.7 }, svg));
      holder.appendChild(svg);
    }
    const band = element("svg", { viewBox: "0 0 " + W + " 40" }, null);
    element("text", { x: LEFT, y: 10 }, band).textContent = "branch of the correction rule";
    episode.branch.forEach((b, k) => {
      const x = toX(episode.t[k]), next = toX(episode.t[Math.min(k + 1, episode.t.length - 1)]);
      element("rect", { x: x, y: 14, width: Math.max(0.5, next - x), height: 12, fill: BRANCH_COLOURS[b % BRANCH_COLOURS.length] }, band);
    });
    let x = LEFT;
    episode.branches.forEach((name, k) => {
      element("rect", { x: x, y: 31, width: 8, height: 8, fill: BRANCH_COLOURS[k % BRANCH_COLOURS.length] }, band);
      element("text", { x: x + 11, y: 39 }, band).textContent = name;
      x += 22 + name.length * 6;
    });
    holder.appendChild(band);
    const show = (index) => markers.forEach((m) => { m.setAttribute("x1", toX(episode.t[index])); m.setAttribute("x2", toX(episode.t[index])); });
    return { show: show, timeAt: (fraction) => ((fraction * W - LEFT) / (W - LEFT - RIGHT)) * end };
  }

  function choices(key) {
    return [...new Set(DATA.episodes.map((e) => e[key]))];
  }

  const keys = ["condition", "route", "mode", "repetition"];
  const selects = {};
  let current = null;
  function pick() {
    const wanted = Object.fromEntries(keys.map((k) => [k, selects[k].value]));
    const score = (e) => keys.reduce((n, k, i) => n + (String(e[k]) === wanted[k] ? 2 ** (keys.length - i) : 0), 0);
    show(DATA.episodes.reduce((best, e) => (score(e) > score(best) ? e : best), DATA.episodes[0]));
  }

  function show(episode) {
    current = episode;
    keys.forEach((k) => { selects[k].value = String(episode[k]); });
    document.getElementById("status").textContent = episode.status + ", " + episode.summary;
    const moveMap = drawMap(episode, DATA.routes[episode.route]);
    const curves = drawCurves(episode);
    const video = document.getElementById("video");
    const source = DATA.videos[episode.id];
    video.hidden = !source;
    document.getElementById("no-video").hidden = Boolean(source);
    if (source) video.src = source; else video.removeAttribute("src");
    const seek = (time) => {
      let index = episode.t.findIndex((t) => t >= time);
      if (index < 0) index = episode.t.length - 1;
      moveMap(index);
      curves.show(index);
    };
    video.ontimeupdate = () => seek(video.currentTime);
    const holder = document.getElementById("curves");
    const at = (event) => curves.timeAt((event.clientX - holder.getBoundingClientRect().left) / holder.clientWidth);
    holder.onmousemove = (event) => seek(at(event));
    holder.onclick = (event) => { if (source) video.currentTime = Math.max(0, at(event)); };
    seek(0);
    document.body.dataset.episode = episode.id;
  }

  const picker = document.getElementById("picker");
  for (const key of keys) {
    const label = document.createElement("label");
    label.textContent = key;
    const select = document.createElement("select");
    select.id = "pick-" + key;
    for (const value of choices(key)) select.add(new Option(value, value));
    select.onchange = pick;
    selects[key] = select;
    label.appendChild(select);
    picker.appendChild(label);
  }
  if (DATA.episodes.length) show(DATA.episodes.find((e) => DATA.videos[e.id]) || DATA.episodes[0]);
})();
