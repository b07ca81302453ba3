// Drawing with mouse, pen, finger or keyboard.

import { byId } from "../dom.js";
import { Bitmap, SIDE } from "./bitmap.js";

/** Steps of the keyboard's cursor in pixels: with and without Shift. */
const FINE = 2, COARSE = 10;
const MAX_UNDO = 50;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Sketch {
  /** @param {() => void} onChange Called when a stroke has ended. */
  constructor(onChange) {
    this.onChange = onChange;
    this.bitmap = new Bitmap();
    this.canvas = byId("sketch");
    this.context = this.canvas.getContext("2d");
    this.cursorMark = byId("sketch-cursor");
    /** @type {Uint8ClampedArray[]} */
    this.undoable = [];
    /** Where the pointer draws now; null: it does not. */
    this.last = null;
    this.cursor = { x: SIDE / 2, y: SIDE / 2 };
    this.penDown = false;
    this.dark = true;
    this.#listen();
    this.#show();
  }

  /** @param {boolean} dark Whether the model's pictures are light things on black. */
  setGround(dark) {
    this.dark = dark;
    this.#show();
  }

  /**
   * @param {boolean} fit Whether the drawing is enlarged until it fills the frame.
   * @returns {Promise<Blob | null>} A PNG, or null if nothing is drawn.
   */
  async picture(fit) {
    const bounds = this.bitmap.bounds();
    if (!bounds) return null;
    if (!fit) return blobOf(this.canvas);
    const fitted = document.createElement("canvas");
    fitted.width = fitted.height = SIDE;
    const context = fitted.getContext("2d");
    context.fillStyle = this.dark ? "#000" : "#fff";
    context.fillRect(0, 0, SIDE, SIDE);
    context.imageSmoothingQuality = "high";
    const scale = SIDE / Math.max(bounds.width, bounds.height);
    const width = bounds.width * scale, height = bounds.height * scale;
    context.drawImage(
      this.canvas, bounds.x, bounds.y, bounds.width, bounds.height,
      (SIDE - width) / 2, (SIDE - height) / 2, width, height,
    );
    return blobOf(fitted);
  }

  #listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.last) return;
      canvas.setPointerCapture(event.pointerId);
      this.#lift();
      this.cursorMark.hidden = true;
      const at = this.#place(event);
      if (this.#tool() === "fill") return this.#fillAt(at);
      this.#keep();
      this.last = at;
      this.#draw(at, at);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.last) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const one of events.length ? events : [event]) {
        const at = this.#place(one);
        this.#draw(this.last, at);
        this.last = at;
      }
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(kind, () => {
        if (!this.last) return;
        this.last = null;
        this.#changed();
      });
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.#lift();
      this.cursorMark.hidden = true;
    });
    byId("undo").addEventListener("click", () => this.#undo());
    byId("clear-sketch").addEventListener("click", () => this.#clear());
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const key = event.key.toLowerCase();
    if (event.key in ARROWS) this.#move(ARROWS[event.key], event.shiftKey ? FINE : COARSE);
    else if (event.key === " ") this.#togglePen();
    else if (key === "f") this.#fillAt(this.cursor);
    else if (key === "z") this.#undo();
    else if (event.key === "Delete" || event.key === "Backspace") this.#clear();
    else return;
    event.preventDefault();
    this.#showCursor();
  }

  #move([dx, dy], step) {
    const from = this.cursor;
    const inside = (value) => Math.min(SIDE - 1, Math.max(0, value));
    this.cursor = { x: inside(from.x + dx * step), y: inside(from.y + dy * step) };
    if (this.penDown) this.#draw(from, this.cursor);
  }

  #togglePen() {
    if (this.penDown) return this.#lift();
    this.penDown = true;
    this.#keep();
    this.#draw(this.cursor, this.cursor);
  }

  #lift() {
    if (!this.penDown) return;
    this.penDown = false;
    this.#showCursor();
    this.#changed();
  }

  #draw(from, to) {
    this.bitmap.line(from, to, Number(byId("brush-size").value), this.#value());
    this.#show();
  }

  #fillAt(at) {
    this.#keep();
    this.bitmap.fill(at, this.#value());
    this.#changed();
  }

  #undo() {
    const before = this.undoable.pop();
    if (!before) return;
    this.penDown = false;
    this.bitmap.restore(before);
    this.#changed();
  }

  #clear() {
    if (this.bitmap.empty) return;
    this.#keep();
    this.penDown = false;
    this.bitmap.clear();
    this.#changed();
  }

  #keep() {
    this.undoable.push(this.bitmap.saved());
    if (this.undoable.length > MAX_UNDO) this.undoable.shift();
  }

  #changed() {
    this.#show();
    byId("undo").disabled = this.undoable.length === 0;
    byId("clear-sketch").disabled = this.bitmap.empty;
    this.onChange();
  }

  #show() {
    this.bitmap.paint(this.context, this.dark);
  }

  #showCursor() {
    const mark = this.cursorMark;
    mark.hidden = document.activeElement !== this.canvas;
    mark.toggleAttribute("data-down", this.penDown);
    mark.style.left = `${(100 * this.cursor.x) / SIDE}%`;
    mark.style.top = `${(100 * this.cursor.y) / SIDE}%`;
  }

  #tool() {
    return document.querySelector('input[name="tool"]:checked').value;
  }

  #value() {
    return this.#tool() === "eraser" ? 0 : Math.round(2.55 * Number(byId("brush-shade").value));
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * SIDE,
      y: ((event.clientY - box.top) / box.height) * SIDE,
    };
  }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<Blob>}
 */
export function blobOf(canvas) {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("this browser made no PNG"))), "image/png");
  });
}
