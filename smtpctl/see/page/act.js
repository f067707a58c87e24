// What the reader does: pick a mail, search, zoom, hide, click a message.
function drawMails() {
  const box = $("mails"), window_ = box.querySelector(".window");
  box.querySelector(".height").style.height = (shownMails.length + 1) * MAIL_HEIGHT + "px";
  const top = Math.floor(box.scrollTop / MAIL_HEIGHT);
  window_.textContent = "";
  window_.style.top = "0px";
  const shift = document.createElement("div");
  shift.style.transform = `translateY(${-(box.scrollTop % MAIL_HEIGHT)}px)`;
  for (let row = top; row <= top + Math.ceil(box.clientHeight / MAIL_HEIGHT) && row <= shownMails.length; row++) {
    const mail = row === 0 ? null : mails[shownMails[row - 1]];
    const entry = document.createElement("div"), id = document.createElement("b"), more = document.createElement("small");
    const side = document.createElement("span");
    entry.className = "mail" + ((mail ? mail.index : -1) === state.mail ? " picked" : "");
    entry.setAttribute("role", "option");
    entry.dataset.mail = mail ? mail.id : "all";
    id.textContent = mail ? mail.id : "all messages";
    side.textContent = mail ? `${mail.count}` : TOTAL.toLocaleString("en");
    more.textContent = mail
      ? `${mail.first < loaded ? clock(column.time[mail.first]).slice(0, 12) : ""} ${mail.name}` : `${mails.length.toLocaleString("en")} mail${mails.length === 1 ? "" : "s"}`;
    entry.append(side, id, more);
    entry.onclick = () => pick(mail ? mail.index : -1);
    shift.append(entry);
  }
  window_.append(shift);
}

function pick(mail) {
  state.mail = mail;
  state.preview.clear();
  refresh(false);
  preview();
}

// beside the messages of one mail there is room for their fields
function preview() {
  if (state.mail < 0 || count() > 3000) return;
  for (let row = 0; row < count(); row++) {
    const i = at(row);
    if (state.preview.has(i)) continue;
    state.preview.set(i, "");
    fieldsOf(i).then((fields) => {
      if (!fields || !state.preview.has(i)) return;
      const words = fields.filter(([name, , value]) => name !== "reqid" && !empty(value)).map(([name, text]) => `${name}=${text}`);
      state.preview.set(i, words.join(" ").slice(0, 160));
      draw();
    });
  }
}

function search() {
  const wanted = $("search").value.trim().toLowerCase();
  shownMails = [];
  for (const mail of mails) {
    if (!wanted || mail.id.startsWith(wanted) || mail.session.startsWith(wanted) || mail.name.toLowerCase().includes(wanted)) {
      shownMails.push(mail.index);
    }
  }
  $("mails").scrollTop = 0;
  drawMails();
}

function row(table, name, text, target) {
  const line = table.insertRow(), value = line.insertCell();
  value.textContent = name;
  const cell = line.insertCell();
  if (target === undefined) { cell.textContent = text; return; }
  const link = document.createElement("a");
  link.textContent = text;
  link.onclick = () => { choose(target); show(target); };
  cell.append(link);
}

async function choose(index) {
  state.picked = index;
  draw();
  const panel = $("details"), kind = HEAD.kinds[column.kind[index]];
  const fields = await fieldsOf(index);
  if (state.picked !== index) return;
  panel.textContent = "";
  const add = (tag, text) => { const made = document.createElement(tag); made.textContent = text || ""; panel.append(made); return made; };
  add("h2", kind ? kind.name : "?");
  add("div", `${HEAD.ends[column.from[index]]} → ${HEAD.ends[column.to[index]]}`);
  add("h3", "fields");
  if (fields) { const table = add("table"); for (const [name, text] of fields) row(table, name, text); }
  else add("p", "not recorded").className = "hint";
  add("h3", "times");
  const table = add("table"), wait = column.wait[index], partner = column.partner[index];
  row(table, "sent", clock(column.time[index]));
  if (wait !== NONE) { row(table, "in the socket", duration(wait)); row(table, "received", clock(end(index))); }
  if (partner >= 0) {
    const other = HEAD.kinds[column.kind[partner]].name;
    row(table, isReply(index) ? "replies to" : "answered by", other, partner);
    row(table, "reply time", duration(isReply(index) ? elapsed(index) : elapsed(partner)));
  }
  add("h3", "frame");
  const frame = add("table");
  row(frame, "peerid", String(column.peerid[index]));
  row(frame, "pid", String(column.pid[index]));
  row(frame, "length", `${column.length[index]} bytes`);
  if (column.flags[index] & DESCRIPTOR) row(frame, "descriptor", "rides along");
  const mail = column.mail[index];
  if (mail && mail - 1 !== state.mail && mails[mail - 1]) {
    add("h3", "mail");
    const link = add("a", mails[mail - 1].id);
    link.onclick = () => { pick(mail - 1); show(index); };
  }
}

function zoom(factor, middle) {
  if (state.scaled) {
    const where = position() + middle * state.perPixel;
    state.perPixel = Math.max(5, Math.min((ending() - beginning() || 1) / 50, state.perPixel / factor));
    arrange();
    goTo(where - middle * state.perPixel);
  } else {
    const where = position() + middle / state.row;
    state.row = Math.max(4, Math.min(48, state.row * factor));
    arrange();
    goTo(where - middle / state.row);
  }
}

function under(event) {
  const y = event.clientY - scroller.getBoundingClientRect().top;
  let best = -1, distance = Math.max(10, state.row * 0.7);
  for (const [, i, at_] of state.drawn || []) {
    const off = Math.abs(at_ - 4 - y);
    if (off < distance) { distance = off; best = i; }
  }
  return best;
}

scroller.addEventListener("scroll", draw);
scroller.addEventListener("click", (event) => { const i = under(event); if (i >= 0) choose(i); });
scroller.addEventListener("mousemove", (event) => { const i = under(event); if (i !== state.hover) { state.hover = i; draw(); } });
scroller.addEventListener("mouseleave", () => { state.hover = -1; draw(); });
scroller.addEventListener("wheel", (event) => {
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, event.clientY - scroller.getBoundingClientRect().top);
  } else if (pixels() > MOST_HEIGHT) {  // a notch of the wheel must not leap over thousands
    event.preventDefault();
    goTo(position() + event.deltaY / scroller.clientHeight * inView());
  }
}, { passive: false });
function drag(event) {
  if (!event.buttons || !count()) return;
  const time = (event.clientX - overview.getBoundingClientRect().left) / overview.clientWidth * HEAD.span;
  goTo(state.scaled ? time - beginning() - inView() / 2 : rowAt(time) - inView() / 2);
}
overview.addEventListener("pointerdown", drag);
overview.addEventListener("pointermove", drag);
$("mails").addEventListener("scroll", drawMails);
$("search").addEventListener("input", search);
$("in").onclick = () => zoom(1.5, scroller.clientHeight / 2);
$("out").onclick = () => zoom(1 / 1.5, scroller.clientHeight / 2);
function scaled(on) {
  const before = count() ? at(Math.min(count() - 1, state.scaled ? rowAt(beginning() + position()) : Math.floor(position()))) : -1;
  state.scaled = on;
  $("even").setAttribute("aria-pressed", String(!on));
  $("scaled").setAttribute("aria-pressed", String(on));
  if (on) {
    const rows = Math.min(count(), 40), from = before >= 0 ? rowOf(before) : 0, to = Math.min(count() - 1, from + rows);
    const span = state.mail >= 0 ? ending() - beginning() : count() ? column.time[at(to)] - column.time[at(from)] : 1;
    state.perPixel = Math.max(5, span / Math.max(1, scroller.clientHeight * 0.9));
  }
  arrange();
  if (before >= 0) goTo(on ? column.time[before] - beginning() : rowOf(before)); else draw();
}
$("even").onclick = () => scaled(false);
$("scaled").onclick = () => scaled(true);
addEventListener("resize", () => { arrange(); draw(); drawMails(); });
addEventListener("keydown", (event) => {
  if (event.target === $("search")) { if (event.key === "Escape") { $("search").value = ""; search(); scroller.focus(); } return; }
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  if (step && state.picked >= 0) {
    const next = Math.max(0, Math.min(count() - 1, rowOf(state.picked) + step));
    event.preventDefault();
    choose(at(next));
    const where = state.scaled ? column.time[at(next)] - beginning() : next;
    if (where < position() || where > position() + inView() * 0.9) show(at(next));
  } else if (event.key === "/") { event.preventDefault(); $("search").focus(); }
  else if (event.key === "+" || event.key === "=") zoom(1.25, scroller.clientHeight / 2);
  else if (event.key === "-") zoom(0.8, scroller.clientHeight / 2);
  else if (event.key === "Escape") { state.picked = -1; pick(-1); }
});

function arrived() {
  $("summary").textContent = `${loaded < TOTAL ? loaded.toLocaleString("en") + " of " : ""}${TOTAL.toLocaleString("en")} messages` +
    `${HEAD.lost ? `, ${HEAD.lost.toLocaleString("en")} lost` : ""}, ${duration(HEAD.span)}`;
  if (!document.documentElement.dataset.shown) {
    refresh(false);
    document.documentElement.dataset.shown = String(Math.round(performance.now()));
  } else if (loaded === TOTAL || !state.rows) { select(); arrange(); draw(); drawMails(); }
  preview();
  if (loaded === TOTAL && finishedLoading) document.documentElement.dataset.complete = String(Math.round(performance.now()));
}
function listed() { search(); if (HEAD.pick !== "") { const mail = mails.find((each) => each.id === HEAD.pick); if (mail) pick(mail.index); } }
function finished() { finishedLoading = true; if (loaded === TOTAL) arrived(); }
