// What is seen of the messages: the list of mails, the ladder, the details. Only what is visible is drawn.
const $ = (id) => document.getElementById(id);
const ladder = $("ladder"), scroller = $("scroller"), overview = $("overview");
const GUTTER = 108, MOST_HEIGHT = 6e6, MAIL_HEIGHT = 40;
const state = { mail: -1, hidden: new Set(), picked: -1, hover: -1, scaled: false, row: 24, perPixel: 0, rows: null, preview: new Map() };
let columns = [], shownMails = [], pending = false, finishedLoading = false;
const theme = () => {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue("--" + name).trim();
};
let colour = theme();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colour = theme(); draw(); });

// which messages are shown: all (rows is null), or their indexes
function select() {
  const { mail, hidden } = state;
  if (mail < 0 && !hidden.size) { state.rows = null; return; }
  const first = mail < 0 ? 0 : mails[mail].first, last = mail < 0 ? loaded : Math.min(loaded, mails[mail].last + 1);
  const found = [], more = mail < 0 ? null : new Set(mails[mail].more);
  for (let i = first; i < last; i++) {
    if (mail >= 0 && column.mail[i] !== mail + 1 && !more.has(i)) continue;
    if (hidden.has(column.from[i]) || hidden.has(column.to[i])) continue;
    found.push(i);
  }
  state.rows = Uint32Array.from(found);
}
const count = () => state.rows ? state.rows.length : loaded;
const at = (row) => state.rows ? state.rows[row] : row;
function rowOf(index) {  // the row of a message, or of the next one after it
  let low = 0, high = count();
  while (low < high) { const middle = (low + high) >> 1; if (at(middle) < index) low = middle + 1; else high = middle; }
  return low;
}
function rowAt(time) {
  let low = 0, high = count();
  while (low < high) { const middle = (low + high) >> 1; if (column.time[at(middle)] < time) low = middle + 1; else high = middle; }
  return low;
}
const beginning = () => count() ? column.time[at(0)] : 0;
const ending = () => count() ? end(at(count() - 1)) : 0;

// a position is a row, or in scaled view a time; pixels of the scroll bar stand for a part of one if there are too many
const inView = () => state.scaled ? scroller.clientHeight * state.perPixel : scroller.clientHeight / state.row;
const whole = () => (state.scaled ? ending() - beginning() : count()) + inView() * 0.25;
const pixels = () => state.scaled ? whole() / state.perPixel : whole() * state.row;
const height = () => Math.min(MOST_HEIGHT, Math.max(scroller.clientHeight, pixels()));
const scale = () => Math.max(0, whole() - inView()) / Math.max(1, height() - scroller.clientHeight);
const position = () => scroller.scrollTop * scale();
function goTo(where) { scroller.scrollTop = scale() ? Math.max(0, where) / scale() : 0; draw(); }
function show(index) {  // bring a message into view, a third from the top
  const third = inView() / 3;
  goTo((state.scaled ? column.time[index] - beginning() : rowOf(index)) - third);
}

function arrange() {
  const used = new Set();
  if (state.rows) for (const i of state.rows) { used.add(column.from[i]); used.add(column.to[i]); }
  const names = HEAD.order.filter((end) => HEAD.used.includes(end) && (state.mail < 0 || used.has(end) || state.hidden.has(end)));
  const width = scroller.clientWidth - GUTTER;
  const fits = width / Math.max(1, names.length);  // all of them in sight, if their names can still be read then
  const step = Math.max(88, Math.min(112, fits), Math.min(150, fits * (state.mail >= 0 ? 0.62 : 1 - 180 / width)));
  columns = [];
  names.forEach((end, i) => { columns[end] = GUTTER + step * (i + 0.5); });
  state.right = GUTTER + step * (names.length - 0.5) + 34;
  const bar = $("processes");
  bar.textContent = "";
  for (const end of names) {
    const button = document.createElement("button");
    button.textContent = HEAD.ends[end];
    button.style.left = columns[end] + "px";
    button.style.background = HEAD.colours[end];
    button.className = state.hidden.has(end) ? "off" : "";
    button.title = "hide or show what it sends and gets";
    button.onclick = () => {
      if (!state.hidden.delete(end)) state.hidden.add(end);
      refresh(true);
    };
    bar.append(button);
  }
  scroller.querySelector(".height").style.height = height() + "px";
}

function refresh(keep) {
  const before = keep && count() ? at(Math.min(count() - 1, state.scaled ? rowAt(beginning() + position()) : Math.floor(position()))) : -1;
  select();
  if (state.scaled && !keep) state.perPixel = Math.max(1, (ending() - beginning()) / Math.max(1, scroller.clientHeight * 0.9));
  arrange();
  if (before >= 0) goTo(state.scaled ? column.time[before] - beginning() : rowOf(before)); else goTo(0);
  drawMails();
}

function draw() {
  if (!pending) { pending = true; requestAnimationFrame(paint); }
}

const TOP = 22;  // pixels above the first message where time is to scale
const yOf = (row, index) => state.scaled
  ? (column.time[index] - beginning() - position()) / state.perPixel + TOP : (row - position()) * state.row + Math.max(state.row * 0.62, Math.min(18, state.row * 0.8));

function paint() {
  pending = false;
  const ratio = devicePixelRatio || 1, width = scroller.clientWidth, tall = scroller.clientHeight;
  ladder.width = width * ratio; ladder.height = tall * ratio;
  ladder.style.width = width + "px"; ladder.style.height = tall + "px";
  const pen = ladder.getContext("2d");
  pen.scale(ratio, ratio);
  pen.strokeStyle = colour("rail");
  columns.forEach((x) => { pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, tall); pen.stroke(); });
  if (!count()) { note(pen, width, finishedLoading ? "nothing to show" : "loading…"); paintOverview(); return; }
  const first = state.scaled ? Math.max(0, rowAt(beginning() + position() - state.perPixel * 200) - 50) : Math.floor(position());
  const bottom = state.scaled ? beginning() + position() + tall * state.perPixel : 0;
  const drawn = [];
  let lastLabel = -Infinity, lastTime = -Infinity;
  for (let row = first; row < count(); row++) {
    const i = at(row);
    if (state.scaled ? column.time[i] > bottom : row > first + tall / state.row + 1) break;
    if (columns[column.from[i]] === undefined || columns[column.to[i]] === undefined) continue;
    drawn.push([row, i, yOf(row, i)]);
  }
  for (const [row, i] of drawn) bar(pen, row, i);
  for (const [row, i, y] of drawn) {
    const dense = state.scaled ? y - lastLabel < 13 : state.row < 13;
    if (!dense) lastLabel = y;
    arrow(pen, row, i, y, !dense, width);
    if (y - lastTime >= 13) { lastTime = y; times(pen, i, y); }
  }
  state.drawn = drawn;
  paintOverview();
}

function note(pen, width, text) {
  pen.fillStyle = colour("dim"); pen.font = "14px system-ui, sans-serif"; pen.textAlign = "center";
  pen.fillText(text, width / 2, 60);
}

function times(pen, i, y) {
  pen.fillStyle = colour("dim"); pen.font = "11px ui-monospace, monospace"; pen.textAlign = "right";
  const text = state.mail >= 0 ? `${((column.time[i] - beginning()) / 1e6).toFixed(3)} ms` : clock(column.time[i]);
  pen.fillText(text, GUTTER - 8, y + 4);
}

// the time in which a request is open, at the one who has to answer it
function bar(pen, row, i) {
  const partner = column.partner[i];
  if (partner < 0 || isReply(i) || columns[column.to[i]] === undefined || partner >= loaded) return;
  const y1 = yOf(row, i), y2 = state.scaled ? (end(partner) - beginning() - position()) / state.perPixel + TOP : yOf(rowOf(partner), partner);
  pen.globalAlpha = Number(colour("bar")) * (related(i) ? 2.2 : 1);
  pen.fillStyle = HEAD.colours[column.to[i]];
  pen.fillRect(columns[column.to[i]] - 4, y1, 8, Math.min(y2 - y1, scroller.clientHeight + 50));
  pen.globalAlpha = 1;
}

const related = (i) => i === state.picked || i === state.hover ||
  (column.partner[i] >= 0 && (column.partner[i] === state.picked || column.partner[i] === state.hover));

function arrow(pen, row, i, y, labelled, width) {
  const x1 = columns[column.from[i]], x2 = columns[column.to[i]], wait = column.wait[i];
  if (i === state.picked || i === state.hover) {
    pen.fillStyle = colour(i === state.picked ? "pick" : "hover");
    const tall = state.scaled ? 16 : state.row;
    pen.fillRect(0, y - tall * 0.74, width, tall);
  }
  // to scale, an arrow falls as long as its message waited in the socket
  const fall = state.scaled && wait !== NONE ? Math.min(wait / state.perPixel, 4000) : 0;
  pen.strokeStyle = pen.fillStyle = HEAD.colours[column.from[i]];
  pen.lineWidth = related(i) ? 2.4 : 1.3;
  pen.setLineDash(isReply(i) ? [5, 3] : []);
  pen.beginPath(); pen.moveTo(x1, y); pen.lineTo(x2, y + fall); pen.stroke();
  pen.setLineDash([]);
  const angle = Math.atan2(fall, x2 - x1), head = state.row < 10 && !state.scaled ? 3 : 6;
  pen.beginPath(); pen.moveTo(x2, y + fall);
  pen.lineTo(x2 - head * Math.cos(angle - 0.45), y + fall - head * Math.sin(angle - 0.45));
  pen.lineTo(x2 - head * Math.cos(angle + 0.45), y + fall - head * Math.sin(angle + 0.45));
  pen.fill();
  if (!labelled) return;
  pen.font = related(i) ? "600 12px system-ui, sans-serif" : "12px system-ui, sans-serif";
  pen.textAlign = "center"; pen.fillStyle = colour("text");
  const kind = HEAD.kinds[column.kind[i]], marks = column.flags[i] & DESCRIPTOR ? " ⊕" : "";
  const text = (kind ? kind.name : "?") + marks, half = pen.measureText(text).width / 2 + 3, middle = (x1 + x2) / 2;
  pen.globalAlpha = 0.85; pen.fillStyle = colour(i === state.picked ? "pick" : i === state.hover ? "hover" : "back");
  pen.fillRect(middle - half, y - 15, half * 2, 12);
  pen.globalAlpha = 1; pen.fillStyle = colour("text");
  pen.fillText(text, middle, y - 5);
  const took = elapsed(i), words = [];
  if (took >= 0) words.push("after " + duration(took));
  if (wait !== NONE && wait > 1e6) words.push(duration(wait) + " in the socket");
  pen.textAlign = "left"; pen.font = "11px system-ui, sans-serif";
  let x = state.right;
  if (words.length) {
    pen.fillStyle = took > 5e7 || (wait !== NONE && wait > 1e7) ? colour("accent") : colour("dim");
    pen.fillText(words.join(", "), x, y + 4);
    x += pen.measureText(words.join(", ")).width + 12;
  }
  const preview = state.preview.get(i);
  if (preview) { pen.fillStyle = colour("dim"); pen.fillText(preview, x, y + 4); }
}

let density = null;
function paintOverview() {
  const ratio = devicePixelRatio || 1, width = overview.clientWidth, tall = overview.clientHeight;
  overview.width = width * ratio; overview.height = tall * ratio;
  const pen = overview.getContext("2d");
  pen.scale(ratio, ratio);
  if (!loaded) return;
  if (!density || density.loaded !== loaded || density.bins.length !== width) {
    const bins = new Float64Array(width), span = HEAD.span || 1;
    for (let i = 0; i < loaded; i++) bins[Math.min(width - 1, Math.floor(column.time[i] / span * width))]++;
    density = { bins, loaded, most: bins.reduce((a, b) => Math.max(a, b), 1) };
  }
  pen.fillStyle = colour("dim");
  density.bins.forEach((n, x) => { if (n) { const h = Math.max(1, n / density.most * (tall - 8)); pen.fillRect(x, tall - 2 - h, 1, h); } });
  const px = (time) => time / (HEAD.span || 1) * width;
  if (state.mail >= 0 && count()) {
    pen.fillStyle = colour("accent"); pen.globalAlpha = 0.35;
    pen.fillRect(px(beginning()), 0, Math.max(2, px(ending()) - px(beginning())), tall);
  }
  if (count()) {
    const from = state.scaled ? beginning() + position() : column.time[at(Math.min(count() - 1, Math.floor(position())))];
    const to = state.scaled ? from + inView() : column.time[at(Math.min(count() - 1, Math.floor(position() + inView())))];
    pen.globalAlpha = 1; pen.strokeStyle = colour("accent"); pen.lineWidth = 2;
    pen.strokeRect(px(from), 1, Math.max(3, px(to) - px(from)), tall - 2);
  }
  pen.globalAlpha = 1;
}
