// Drawing with mouse, pen, finger or keyboard. The canvas holds light things on black; it is shown as
// a negative, and sent as one, to models whose pictures are the reverse.

import { byId } from "../dom.js";
import { pngOf } from "./pictures.js";

/** Pixels of a side. */
const SIDE = 280;
/** Steps of the keyboard's cursor in pixels: with and without Shift. */
const FINE = 2, COARSE = 10;
const MAX_UNDO = 50;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const inside = (value) => Math.min(SIDE - 1, Math.max(0, Math.floor(value)));

export class Drawing {
  #canvas = byId("sketch");
  #context = this.#canvas.getContext("2d", { willReadFrequently: true });
  #cursorMark = byId("sketch-cursor");
  /** @type {ImageData[]} */
  #undoable = [];
  /** Where the pointer draws now; null: it does not. */
  #last = null;
  #cursor = { x: SIDE / 2, y: SIDE / 2 };
  #penDown = false;
  #dark = true;

  /** @param {() => void} onChange Called when a stroke has ended. */
  constructor(onChange) {
    this.onChange = onChange;
    this.#context.lineCap = "round";
    this.#context.fillRect(0, 0, SIDE, SIDE);
    this.#listen();
  }

  /** @param {boolean} dark Whether the model's pictures are light things on black. */
  setGround(dark) {
    this.#dark = dark;
    this.#canvas.classList.toggle("negative", !dark);
  }

  /**
   * @param {boolean} fit Whether the drawing is enlarged until it fills the frame.
   * @returns {Promise<Blob> | null} A PNG, or null if nothing is drawn.
   */
  picture(fit) {
    const drawn = this.#bounds();
    if (!drawn) return null;
    const { x, y, width, height } = fit ? drawn : { x: 0, y: 0, width: SIDE, height: SIDE };
    const scale = SIDE / Math.max(width, height);
    const [wide, high] = [width * scale, height * scale];
    return pngOf(SIDE, SIDE, (context) => {
      context.fillRect(0, 0, SIDE, SIDE);
      context.imageSmoothingQuality = "high";
      context.drawImage(this.#canvas, x, y, width, height, (SIDE - wide) / 2, (SIDE - high) / 2, wide, high);
      if (this.#dark) return;
      context.globalCompositeOperation = "difference";
      context.fillStyle = "#fff";
      context.fillRect(0, 0, SIDE, SIDE);
    });
  }

  /** The smallest box around what is drawn; null: nothing is. */
  #bounds() {
    const { data } = this.#pixels();
    let left = SIDE, right = -1, top = SIDE, bottom = -1;
    for (let k = 0; k < SIDE * SIDE; k++) {
      if (!data[4 * k]) continue;
      const x = k % SIDE, y = Math.floor(k / SIDE);
      [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), y];
    }
    return right < 0 ? null : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
  }

  #pixels() {
    return this.#context.getImageData(0, 0, SIDE, SIDE);
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.#last) return;
      canvas.setPointerCapture(event.pointerId);
      this.#lift();
      this.#cursorMark.hidden = true;
      const at = this.#place(event);
      if (this.#tool() === "fill") return this.#fill(at);
      this.#keep();
      this.#last = at;
      this.#line(at, at);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.#last) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const one of events.length ? events : [event]) {
        const at = this.#place(one);
        this.#line(this.#last, at);
        this.#last = at;
      }
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, () => {
        if (!this.#last) return;
        this.#last = null;
        this.#changed();
      });
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.#lift();
      this.#cursorMark.hidden = true;
    });
    byId("undo").addEventListener("click", () => this.#undo());
    byId("clear-sketch").addEventListener("click", () => this.#clear());
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const key = event.key.toLowerCase();
    if (event.key in ARROWS) this.#move(ARROWS[event.key], event.shiftKey ? FINE : COARSE);
    else if (event.key === " ") this.#togglePen();
    else if (key === "f") this.#fill(this.#cursor);
    else if (key === "z") this.#undo();
    else if (event.key === "Delete" || event.key === "Backspace") this.#clear();
    else return;
    event.preventDefault();
    this.#showCursor();
  }

  #move([dx, dy], step) {
    const from = this.#cursor;
    this.#cursor = { x: inside(from.x + dx * step), y: inside(from.y + dy * step) };
    if (this.#penDown) this.#line(from, this.#cursor);
  }

  #togglePen() {
    if (this.#penDown) return this.#lift();
    this.#penDown = true;
    this.#keep();
    this.#line(this.#cursor, this.#cursor);
  }

  #lift() {
    if (!this.#penDown) return;
    this.#penDown = false;
    this.#showCursor();
    this.#changed();
  }

  #line(from, to) {
    const context = this.#context;
    const grey = this.#grey();
    context.strokeStyle = `rgb(${grey} ${grey} ${grey})`;
    context.lineWidth = Number(byId("brush-size").value);
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.001, to.y); // a line of no length is no dot everywhere
    context.stroke();
  }

  /** Fill the area of one shade around a place, up to the soft edges of the lines around it. */
  #fill(at) {
    this.#keep();
    const image = this.#pixels(), data = image.data;
    const start = inside(at.y) * SIDE + inside(at.x);
    const grey = this.#grey(), old = data[4 * start];
    const paint = (place, value) => data.fill(value, 4 * place, 4 * place + 3);
    const waiting = old === grey ? [] : [start];
    while (waiting.length) {
      const place = waiting.pop();
      const value = data[4 * place];
      if (value === grey) continue;
      if (value !== old) {
        paint(place, Math.max(value, grey));
        continue;
      }
      paint(place, grey);
      const x = place % SIDE;
      if (x > 0) waiting.push(place - 1);
      if (x < SIDE - 1) waiting.push(place + 1);
      if (place >= SIDE) waiting.push(place - SIDE);
      if (place < SIDE * (SIDE - 1)) waiting.push(place + SIDE);
    }
    this.#context.putImageData(image, 0, 0);
    this.#changed();
  }

  #undo() {
    const before = this.#undoable.pop();
    if (!before) return;
    this.#penDown = false;
    this.#context.putImageData(before, 0, 0);
    this.#changed();
  }

  #clear() {
    if (!this.#bounds()) return;
    this.#keep();
    this.#penDown = false;
    this.#context.fillRect(0, 0, SIDE, SIDE);
    this.#changed();
  }

  #keep() {
    this.#undoable.push(this.#pixels());
    if (this.#undoable.length > MAX_UNDO) this.#undoable.shift();
  }

  #changed() {
    byId("undo").disabled = this.#undoable.length === 0;
    byId("clear-sketch").disabled = !this.#bounds();
    this.onChange();
  }

  #showCursor() {
    const mark = this.#cursorMark;
    mark.hidden = document.activeElement !== this.#canvas;
    mark.toggleAttribute("data-down", this.#penDown);
    mark.style.left = `${(100 * this.#cursor.x) / SIDE}%`;
    mark.style.top = `${(100 * this.#cursor.y) / SIDE}%`;
  }

  #tool() {
    return document.querySelector('input[name="tool"]:checked').value;
  }

  #grey() {
    return this.#tool() === "eraser" ? 0 : Math.round(2.55 * Number(byId("brush-shade").value));
  }

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
  }
}
