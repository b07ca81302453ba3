// Reading ZIP files whose members are stored or deflated.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT

const END = 0x06054b50, ENTRY = 0x02014b50;
const END_SIZE = 22, ENTRY_SIZE = 46, LOCAL_SIZE = 30, MAX_COMMENT = 65535;

/**
 * @param {Blob} file
 * @returns {Promise<Map<string, () => Promise<ArrayBuffer>>>} What reads each member, by its name.
 * @throws {Error} If it is no ZIP file.
 */
export async function openZip(file) {
  const buffer = await file.arrayBuffer();
  const view = new DataView(buffer);
  const end = endOf(view);
  const members = new Map();
  let place = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (view.getUint32(place, true) !== ENTRY) throw new Error("the ZIP file is damaged");
    const nameLength = view.getUint16(place + 28, true);
    const name = new TextDecoder().decode(new Uint8Array(buffer, place + ENTRY_SIZE, nameLength));
    const method = view.getUint16(place + 10, true);
    const size = view.getUint32(place + 20, true);
    const local = view.getUint32(place + 42, true);
    members.set(name, () => content(buffer, view, { method, size, local }));
    place += ENTRY_SIZE + nameLength + view.getUint16(place + 30, true) + view.getUint16(place + 32, true);
  }
  return members;
}

function endOf(view) {
  const first = Math.max(0, view.byteLength - END_SIZE - MAX_COMMENT);
  for (let place = view.byteLength - END_SIZE; place >= first; place--) {
    if (view.getUint32(place, true) === END) return place;
  }
  throw new Error("it is no ZIP file");
}

async function content(buffer, view, { method, size, local }) {
  const start = local + LOCAL_SIZE + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  const stored = buffer.slice(start, start + size);
  if (method === 0) return stored;
  if (method !== 8) throw new Error(`the ZIP file is packed by method ${method}, expected 0 or 8`);
  const inflated = new Blob([stored]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(inflated).arrayBuffer();
}
