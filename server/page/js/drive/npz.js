// Arrays of numpy: files of `numpy.savez`.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

import { openZip } from "./zip.js";

const READERS = {
  "<f8": Float64Array, "<f4": Float32Array, "<i8": BigInt64Array, "<i4": Int32Array, "<i2": Int16Array,
  "|i1": Int8Array, "|u1": Uint8Array, "|b1": Uint8Array,
};

/**
 * @typedef {object} NumpyArray
 * @property {number[]} shape
 * @property {number[]} values In C order.
 * @property {string} text For a single string; else empty.
 */

/**
 * @param {Blob} file
 * @returns {Promise<Map<string, NumpyArray>>} By name.
 * @throws {Error} If it is no such file, or holds what is neither numbers nor text.
 */
export async function readNpz(file) {
  const arrays = new Map();
  for (const [name, read] of await openZip(file)) {
    arrays.set(name.replace(/\.npy$/, ""), parse(name, await read()));
  }
  return arrays;
}

/**
 * @param {string} name
 * @param {ArrayBuffer} buffer
 * @returns {NumpyArray}
 */
function parse(name, buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x934e554d) throw new Error(`${name} is no array of numpy`);
  const wide = view.getUint8(6) > 1;
  const headerLength = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (wide ? 12 : 10) + headerLength;
  const header = new TextDecoder().decode(new Uint8Array(buffer, wide ? 12 : 10, headerLength));
  const kind = /'descr': '([^']*)'/.exec(header)?.[1] ?? "";
  const shape = [.../'shape': \(([^)]*)\)/.exec(header)[1].matchAll(/\d+/g)].map(Number);
  if (kind.startsWith("<U")) return { shape, values: [], text: text(buffer, start) };
  const Reader = READERS[kind];
  if (!Reader || header.includes("'fortran_order': True")) throw new Error(`${name} has the type ${kind || "?"}, which is not known here`);
  const size = shape.reduce((product, side) => product * side, 1);
  return { shape, values: Array.from(new Reader(buffer.slice(start), 0, size), Number), text: "" };
}

/** Text in UTF-32, filled up with zeros. */
function text(buffer, start) {
  const codes = new Uint32Array(buffer.slice(start));
  return String.fromCodePoint(...codes.filter((code) => code !== 0));
}
