// A square grey bitmap to draw into: one byte for each pixel, 0 is the ground.

/** Pixels of a side. */
export const SIDE = 280;

export class Bitmap {
  constructor() {
    this.pixels = new Uint8ClampedArray(SIDE * SIDE);
  }

  /** @returns {boolean} Whether nothing is drawn. */
  get empty() {
    return this.pixels.every((value) => value === 0);
  }

  /** @returns {Uint8ClampedArray} A copy, for taking back. */
  saved() {
    return this.pixels.slice();
  }

  /** @param {Uint8ClampedArray} pixels What `saved` returned. */
  restore(pixels) {
    this.pixels.set(pixels);
  }

  clear() {
    this.pixels.fill(0);
  }

  /**
   * Draw a line with a round brush.
   * @param {{x: number, y: number}} from In pixels.
   * @param {{x: number, y: number}} to
   * @param {number} size Diameter.
   * @param {number} value 0..255.
   */
  line(from, to, size, value) {
    const radius = size / 2;
    const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - radius));
    const right = Math.min(SIDE - 1, Math.ceil(Math.max(from.x, to.x) + radius));
    const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - radius));
    const bottom = Math.min(SIDE - 1, Math.ceil(Math.max(from.y, to.y) + radius));
    const dx = to.x - from.x, dy = to.y - from.y;
    const length2 = dx * dx + dy * dy;
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const along = length2 ? Math.min(1, Math.max(0, ((x - from.x) * dx + (y - from.y) * dy) / length2)) : 0;
        const distance = Math.hypot(x - from.x - along * dx, y - from.y - along * dy);
        if (distance <= radius) this.pixels[y * SIDE + x] = value;
      }
    }
  }

  /**
   * Fill the area of one shade around a pixel.
   * @param {{x: number, y: number}} at
   * @param {number} value 0..255.
   */
  fill(at, value) {
    const start = Math.min(SIDE - 1, Math.max(0, Math.floor(at.y))) * SIDE + Math.min(SIDE - 1, Math.max(0, Math.floor(at.x)));
    const old = this.pixels[start];
    if (old === value) return;
    const waiting = [start];
    this.pixels[start] = value;
    const visit = (index) => {
      if (this.pixels[index] !== old) return;
      this.pixels[index] = value;
      waiting.push(index);
    };
    while (waiting.length) {
      const index = waiting.pop();
      const x = index % SIDE;
      if (x > 0) visit(index - 1);
      if (x < SIDE - 1) visit(index + 1);
      if (index >= SIDE) visit(index - SIDE);
      if (index < SIDE * (SIDE - 1)) visit(index + SIDE);
    }
  }

  /** @returns {{x: number, y: number, width: number, height: number} | null} The smallest box around what is drawn. */
  bounds() {
    let left = SIDE, right = -1, top = SIDE, bottom = -1;
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        if (!this.pixels[y * SIDE + x]) continue;
        if (x < left) left = x;
        if (x > right) right = x;
        if (y < top) top = y;
        bottom = y;
      }
    }
    return right < 0 ? null : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
  }

  /**
   * Show it.
   * @param {CanvasRenderingContext2D} context Of a canvas of this size.
   * @param {boolean} dark Whether the ground is black and the drawing light, or the reverse.
   */
  paint(context, dark) {
    const image = context.createImageData(SIDE, SIDE);
    this.pixels.forEach((value, index) => {
      const grey = dark ? value : 255 - value;
      image.data.set([grey, grey, grey, 255], 4 * index);
    });
    context.putImageData(image, 0, 0);
  }
}
