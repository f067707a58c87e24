"use strict";
// The messages: columns of numbers that come in chunks, and payloads that are unpacked when somebody looks at them.
const HEAD = JSON.parse(document.getElementById("head").textContent);
const TOTAL = HEAD.total, CHUNK = HEAD.chunk, NONE = 0xffffffff;
const OUT = 1, DESCRIPTOR = 2, IS_REPLY = 16;
const column = {
  time: new Float64Array(TOTAL), wait: new Uint32Array(TOTAL), peerid: new Uint32Array(TOTAL),
  pid: new Uint32Array(TOTAL), partner: new Int32Array(TOTAL), mail: new Uint32Array(TOTAL),
  offset: new Uint32Array(TOTAL), kind: new Uint16Array(TOTAL), length: new Uint16Array(TOTAL),
  size: new Uint16Array(TOTAL), from: new Uint8Array(TOTAL), to: new Uint8Array(TOTAL), flags: new Uint8Array(TOTAL),
};
const WAITING = new Map();  // chunks that came before one in front of them
const payloads = new Map();  // chunk -> promise of its bytes
let loaded = 0;  // messages that are there, from the first on
let mails = [];

function bytesOf(id) {
  const text = document.getElementById(id).textContent;
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function unpacked(id) {
  const stream = new Blob([bytesOf(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// called after each chunk by the page itself
async function chunk(number) {
  const bytes = await unpacked("c" + number);
  WAITING.set(number, bytes);
  let next;
  while ((next = WAITING.get(loaded / CHUNK)) !== undefined) {
    WAITING.delete(loaded / CHUNK);
    const count = Math.min(CHUNK, TOTAL - loaded);
    let at = 0;
    for (const values of Object.values(column)) {
      const size = values.BYTES_PER_ELEMENT * count;
      values.set(new values.constructor(next.buffer, at, count), loaded);
      at += size;
    }
    document.getElementById("c" + loaded / CHUNK).remove();
    loaded += count;
  }
  arrived();
}

async function mailList() {
  const text = new TextDecoder().decode(await unpacked("m"));
  mails = JSON.parse(text).map(([id, name, session, first, last, count, more], index) => (
    { id, name, session, first, last, count, more, index }));
  listed();
}

function payload(index) {
  const number = Math.floor(index / CHUNK);
  if (!payloads.has(number)) {
    if (payloads.size > 8) payloads.delete(payloads.keys().next().value);
    payloads.set(number, unpacked("p" + number));
  }
  return payloads.get(number);
}

// msgpack, as far as messages use it
function unpack(view, at) {
  const first = view.getUint8(at++);
  const text = (n) => [new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, n)), at + n];
  const list = (n) => {
    const items = [];
    for (let i = 0; i < n; i++) { let item; [item, at] = unpack(view, at); items.push(item); }
    return [items, at];
  };
  const number = (bytes) => bytes === 1 ? view.getUint8(at) : bytes === 2 ? view.getUint16(at) : view.getUint32(at);
  if (first <= 0x7f) return [first, at];
  if (first >= 0xe0) return [first - 0x100, at];
  if (first >= 0xa0 && first <= 0xbf) return text(first & 0x1f);
  if (first >= 0x90 && first <= 0x9f) return list(first & 0x0f);
  switch (first) {
    case 0xc0: return [null, at];
    case 0xc2: case 0xc3: return [first === 0xc3, at];
    case 0xcc: case 0xcd: case 0xce: { const n = 1 << (first - 0xcc); return [number(n), at + n]; }
    case 0xcf: return [view.getBigUint64(at), at + 8];
    case 0xd0: return [view.getInt8(at), at + 1];
    case 0xd1: return [view.getInt16(at), at + 2];
    case 0xd2: return [view.getInt32(at), at + 4];
    case 0xd3: return [view.getBigInt64(at), at + 8];
    case 0xd9: case 0xda: case 0xdb: { const w = 1 << (first - 0xd9), n = number(w); at += w; return text(n); }
    case 0xc4: case 0xc5: case 0xc6: { const w = 1 << (first - 0xc4), n = number(w); return [{ bytes: n }, at + w + n]; }
    case 0xdc: case 0xdd: { const w = first === 0xdc ? 2 : 4, n = number(w); at += w; return list(n); }
  }
  throw new Error("no msgpack of ours");
}

// a value as text, by its declaration: [name, base, hex digits or inner declarations]
function shown(shape, value) {
  const [, base, inner] = shape;
  if (value === null) return "-";
  if (base === "int") return inner ? value.toString(16).padStart(inner, "0") : String(value);
  if (base === "bool") return value ? "yes" : "no";
  if (base === "bytes") return `<${value.bytes} bytes>`;
  if (base === "list") return `[${value.map((item) => shown(inner, item)).join(", ")}]`;
  if (base === "address") return value[0] || value[1] ? `${value[0]}@${value[1]}` : "<>";
  if (base === "tuple") {
    const words = [];
    value.forEach((item, i) => { if (!empty(item)) words.push(`${inner[i][0]}=${shown(inner[i], item)}`); });
    return words.join(" ");
  }
  return value;
}

function empty(value) {
  return value === 0 || value === "" || value === false || value === null ||
    (Array.isArray(value) && value.every(empty));
}

// [[name, text], ...] of a message, null if its payload is not here
async function fieldsOf(index) {
  if (!column.size[index]) return null;
  const bytes = await payload(index);
  const start = column.offset[index];
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, column.size[index]);
  const shapes = HEAD.kinds[column.kind[index]].fields;
  try {
    const [values] = unpack(view, 0);
    return shapes.map((shape, i) => [shape[0], shown(shape, values[i]), values[i]]);
  } catch (error) {
    return [["not as declared", String(error.message)]];
  }
}

function duration(ns) {
  if (ns < 1000) return `${Math.round(ns)} ns`;
  for (const [unit, size] of [["µs", 1e3], ["ms", 1e6]]) {
    if (ns < 1000 * size) { const v = ns / size; return `${v >= 100 ? Math.round(v) : v.toPrecision(3)} ${unit}`; }
  }
  return `${(ns / 1e9).toPrecision(3)} s`;
}

function clock(ns) {
  const ms = HEAD.start + ns / 1e6, date = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  const micro = String(Math.floor((ns / 1e3 + HEAD.startMicro) % 1e6)).padStart(6, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${micro}`;
}

const isReply = (index) => (column.flags[index] & IS_REPLY) !== 0;
const end = (index) => column.time[index] + (column.wait[index] === NONE ? 0 : column.wait[index]);
// ns from a request's sending to its reply's arrival
const elapsed = (index) => isReply(index) && column.partner[index] >= 0
  ? end(index) - column.time[column.partner[index]] : -1;
