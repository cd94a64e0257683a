// The view of the address (the list, a study or the operations), and all keys.

import { Arrangement, NO_FILTER } from "./arrangement.js";
import { Claim } from "./claim.js";
import * as disagreement from "./disagree.js";
import { at, element } from "./elements.js";
import { Filters } from "./filters.js";
import { keyOf } from "./keys.js";
import { Labelling } from "./labelling.js";
import { List } from "./list.js";
import { lockAfter } from "./lock.js";
import * as operations from "./operations.js";
import { Presence } from "./presence.js";
import { othersOf, post, Readings, target, TEXTS } from "./reading.js";
import * as server from "./server.js";
import { Shown } from "./shown.js";
import { Strip } from "./strip.js";
import { Study } from "./study.js";
import { attachPictureButtons, endRuler, pictureKeys, shiftedKeys } from "./study_keys.js";
import { Together } from "./together.js";
import { chooseLanguage, followLanguage } from "./language.js";
import { LOCALE, parts, text } from "./texts.js";
import { clock, isolated } from "./words.js";

const arrangement = new Arrangement();
const list = new List((uid) => go(`/studies/${uid}`), arrangement);
list.again = (doing) => run(doing);
const filters = new Filters(arrangement, list, run);
const strip = new Strip(list, () => ({ name: shown, open: study.uid }));
list.onShow = () => strip.show();
new Shown(list, () => shown === "list");
arrangement.onChange = () => {
  filters.show();
  run(() => list.restart());
};
const study = new Study(run, (uid) => go(`/studies/${uid}`));
study.pictures.tell = toast;
const presence = new Presence();
const readings = new Readings();
const labelling = new Labelling(study, run, toast);
const claim = new Claim(run, presence, () => together.ask());
const together = new Together(study, presence, claim, () => run(() => study.refresh()));
list.openBy = (uid) => presence.at(uid);
list.onFall = () => readings.led();
list.onChoose = () => readings.chosen();
study.onShow = () => {
  together.shown();
  if (study.found) readings.shown(study.uid, study.found.decision?.revision);
};
presence.onChange = () => {
  together.render();
  list.showOpen();
};
let shown = ""; // list, study or operations
let again = null;

// Actions: an error is shown, and the action can be repeated.

async function run(doing) {
  at("trouble").hidden = true;
  try {
    await doing();
  } catch (error) {
    if (!(error instanceof server.Refused)) throw error;
    again = () => run(doing);
    at("trouble-text").textContent = error.message;
    at("trouble").hidden = false;
  }
}

const undoButton = element("button", { type: "button", id: "undo" }, element("kbd", {}, "U"), ` ${TEXTS.undo}`);
undoButton.addEventListener("click", () => undo());

/** Show a message; `undoing` takes back what it tells of, while it is there. */
function toast(message, undoing = null) {
  at("toast").replaceChildren(message, ...(undoing ? [" ", undoButton] : []));
  at("toast").hidden = false;
  toast.undoing = undoing;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(endToast, undoing ? 15_000 : 6000);
}

function endToast() {
  at("toast").hidden = true;
  toast.undoing = null;
}

function undo() {
  const { undoing } = toast;
  if (!undoing) return;
  endToast();
  run(undoing);
}

// The current view.

function go(path) {
  readings.chosen();
  return lead(path);
}

/** Go where the reader did not ask to go. */
function lead(path) {
  if (server.place(location.pathname) !== path) history.pushState(null, "", server.here(path));
  return show();
}

async function show() {
  const path = server.place(location.pathname);
  const uid = path.match(/^\/studies\/([0-9.]+)$/)?.[1];
  shown = uid ? "study" : path === "/operations" ? "operations" : "list";
  for (const view of ["list", "study", "operations"]) at(`${view}-view`).hidden = view !== shown;
  for (const view of ["list", "operations"]) at(`to-${view}`).setAttribute("aria-current", view === shown ? "page" : "false");
  document.title = text(`title.${shown}`);
  if (!uid) study.close();
  presence.show(uid ?? null);
  if (uid) list.select(uid);
  strip.show();
  await run(() => (uid ? opened(uid) : shown === "list" ? list.refresh() : operations.refresh(run)));
}

/** Lead to the studies that come first: the list as it is for a reader who has arranged nothing. */
async function showFirst() {
  at("which").value = "";
  at("search").value = "";
  await arrangement.change({ sort: null, filter: NO_FILTER });
  await go("/");
  list.selectFirst();
  at("list-rows").focus();
}

function showUntagged() {
  at("which").value = "WAITING";
  go("/");
}

async function opened(uid) {
  at("image").focus({ preventScroll: true });
  const opening = study.open(uid);
  await opening.catch(() => {}); // the list waits for the picture, and comes without one too
  await list.refresh().then(() => list.select(uid));
  await opening;
}

// Acts of the reader.

/** What a key acts on: the study on the screen, or the selected row, as it is now. Null if there is no result to act on. */
function present() {
  if (shown === "study") return study.tagged ? target(study.found.decision) : null;
  const entry = shown === "list" && list.entry(list.selected);
  return entry?.revision ? target(entry) : null;
}

function markRead(event) {
  const [read, inStudy] = [present(), shown === "study"];
  if (!read) return list.selected && shown === "list" ? toast(TEXTS.noResult) : undefined;
  if (readings.isSaving(read.uid)) return undefined; // a double press
  if (readings.isEarly(event)) return toast(TEXTS.early);
  const isOwn = together.readings.some((each) => each.who === presence.user);
  if (inStudy ? isOwn : at("which").value === "READ") return toast(TEXTS.already);
  return run(() => readings.once(read.uid, () => saveRead(read, inStudy)));
}

/** Wait for the list, which comes after the picture: it says which study is next. */
async function listCame() {
  if (!list.found.entries) list.refresh().catch(() => {});
  await Promise.race([list.came, new Promise((go) => setTimeout(go, 5000))]);
}

async function saveRead(read, inStudy) {
  if (inStudy) await listCame();
  const next = list.after(read.uid);
  const isShown = () => inStudy && shown === "study" && study.uid === read.uid;
  try {
    const saved = await post(read, { read: true, press: read.press, revision: read.revision });
    const others = othersOf(saved.readings, presence.user);
    toast(TEXTS.read(read.name) + (others && TEXTS.alsoRead(others)), () => takeBack(read));
  } catch (error) {
    if (error.status !== 409) throw error;
    readings.leads();
    await (isShown() ? study.refresh() : list.refresh());
    toast(TEXTS.changed);
    return readings.led();
  }
  if (!inStudy) return list.refresh();
  if (!isShown()) return undefined; // the reader has gone elsewhere
  readings.leads();
  return lead(next ? `/studies/${next}` : "/");
}

/** Take back one reading, and no other act: the study may be elsewhere by now, and another one be shown. */
async function takeBack(read) {
  const saved = await post(read, { read: false, undoes: read.press });
  const others = othersOf(saved.readings, presence.user);
  toast(others ? TEXTS.stays(read.name, others) : TEXTS.undone(read.name));
  await (study.uid === read.uid ? study.refresh() : list.refresh());
}

function putBack() {
  const back = present();
  if (!back || (shown === "study" ? !together.isRead : at("which").value !== "READ")) return undefined;
  return run(() =>
    readings.once(back.uid, async () => {
      await post(back, { read: false, press: back.press });
      toast(TEXTS.back(back.name));
      await (shown === "study" ? study.refresh() : list.refresh());
    }),
  );
}

function toggleMap() {
  const missing = study.mapMissing;
  if (missing === undefined) return;
  if (missing) toast(text("map.none", { why: missing }));
  else run(() => study.toggleMap());
}

function move(by) {
  if (!list.move(by) || shown !== "study") return;
  go(`/studies/${list.selected}`);
}

function search() {
  go("/");
  at("search").focus();
  at("search").select();
}

// Keys.

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  Enter: () => shown === "list" && list.selected && go(`/studies/${list.selected}`),
  Escape: () => (shown === "study" && endRuler(study)) || go("/"),
  r: markRead,
  p: putBack,
  c: () => shown === "study" && claim.claim(),
  u: undo,
  d: () => shown === "study" && labelling.open(),
  "/": search,
  "?": () => at("help").showModal(),
  g: () => go("/"),
  o: () => go("/operations"),
};
const ON_LIST = { ArrowDown: KEYS.j, ArrowUp: KEYS.k };
const ON_IMAGE = pictureKeys(study, toggleMap);
const SHIFTED = shiftedKeys(study);

function doing(event) {
  const key = keyOf(event);
  if (at("labelling").open) return labelling.keys[key];
  if (document.querySelector("dialog[open]")) return null;
  if (event.target === at("opacity") && /^(Arrow|Home|End|Page)/.test(key)) return null; // that moves it
  if (event.target !== at("opacity") && event.target.matches("input, select")) {
    return key === "Escape" || (key === "Enter" && event.target === at("search")) ? () => at("list-view").focus() : null;
  }
  if (event.target.matches("button, a") && (key === "Enter" || key === " ")) return null; // that presses it
  if (shown === "study") return (event.shiftKey && SHIFTED[key]) || ON_IMAGE[key] || KEYS[key];
  return (shown === "list" && ON_LIST[key]) || KEYS[key];
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = doing(event);
  if (!act || (event.repeat && !/^(Arrow|[-+=jk,.]$)/.test(event.key))) return;
  event.preventDefault();
  act(event);
});

// Buttons and links.

for (const id of ["to-list", "to-operations"]) {
  at(id).addEventListener("click", (event) => {
    event.preventDefault();
    go(server.place(new URL(event.currentTarget.href).pathname));
  });
}
at("back").addEventListener("click", () => go("/"));
at("read").addEventListener("click", markRead);
at("put-back").addEventListener("click", putBack);
at("disagree").addEventListener("click", () => labelling.open());
disagreement.attach(study, run, toast);
at("keys").addEventListener("click", () => at("help").showModal());
at("help-close").addEventListener("click", () => at("help").close());
at("again").addEventListener("click", () => again?.());
at("which").addEventListener("change", () => run(() => filters.chooseTag()));
at("show-first").addEventListener("click", () => run(showFirst));
at("show-untagged").addEventListener("click", showUntagged);
at("looking").addEventListener("submit", (event) => event.preventDefault());
at("search").addEventListener("input", () => {
  clearTimeout(search.timer);
  search.timer = setTimeout(() => run(() => list.restart()), 250);
});
chooseLanguage(arrangement, run);
attachPictureButtons(study, toggleMap, move);
addEventListener("popstate", () => {
  for (const each of document.querySelectorAll("dialog[open]")) each.close(); // it is of what was on the screen
  readings.chosen();
  show();
});

// The server sends changes, and a heartbeat every 15 s. A longer silence means a fault on the way (a proxy that buffers,
// a connection that was never closed): then the page says so, connects again and polls.

const SILENT_MS = 40_000;
const ASK_MS = 15_000;

let source = null;
let lastAt = 0;
let due = null;
let heardAt = Date.now(); // the stream spoke last
let listAt = Date.now(); // the list was last known to be as it is
let askedAt = 0;
let answered = false; // when the page asked by itself
let down = ""; // what the list does not get an answer of: redis, or store

function watch() {
  source?.close();
  source = new EventSource(server.here("/api/changes"));
  source.addEventListener("alive", heard);
  source.addEventListener("presence", (event) => presence.told(JSON.parse(event.data).open));
  source.addEventListener("list", (event) => {
    const state = JSON.parse(event.data);
    down = ["redis", "store"].find((engine) => state[engine]) ?? "";
    dispatchEvent(new CustomEvent("worklist-changed")); // for calls.js
    heard();
    at("listed").textContent = down ? "" : state.listed.toLocaleString(LOCALE);
    if (!down) strip.tell(state);
    // Many changes at once cause one request a second.
    due ??= setTimeout(changed, Math.max(0, lastAt + 1000 - Date.now()));
  });
  source.addEventListener("signed-out", () => server.signIn());
  source.onerror = () => {
    heardAt = Math.min(heardAt, Date.now() - SILENT_MS);
    answered = false;
    presence.told(null);
    tell();
    // The browser does not repeat a refused stream; this requests the session, and leads to the sign-in if it has ended.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => run(session).then(watch), 5000);
  };
}

function heard() {
  presence.heard();
  heardAt = listAt = Date.now();
  answered = false;
  tell();
}

const isSilent = () => Date.now() - heardAt >= SILENT_MS;

function tell() {
  if (down) live(down === "store" ? text("live.store") : text("live.redis"));
  else if (!isSilent()) live("");
  else if (answered) live(text("live.asked", { seconds: ASK_MS / 1000, time: clock(listAt) }));
  else live(text("live.silent", { time: clock(listAt) }));
}

async function askOurselves() {
  askedAt = Date.now();
  try {
    const { worklist, redis, worklist_studies: listed } = await server.get("/api/status");
    down = worklist === "up" ? "" : redis === "up" ? "store" : "redis";
    at("listed").textContent = down ? "" : listed.toLocaleString(LOCALE);
    presence.told((await server.get("/api/open")).open);
    if (shown === "list" && !down) await list.refresh();
    if (shown === "study") await together.ask();
    listAt = Date.now();
    answered = true;
  } catch (error) {
    if (!(error instanceof server.Refused)) throw error;
    answered = false;
  }
  tell();
}

setInterval(() => {
  if (!isSilent()) return;
  if (source.readyState === EventSource.OPEN) watch();
  if (Date.now() - askedAt >= ASK_MS) askOurselves();
  tell();
}, 1000);

function live(trouble) {
  at("live").textContent = trouble || text("live.live");
  at("live").classList.toggle("warning", Boolean(trouble));
}

function changed() {
  due = null;
  lastAt = Date.now();
  // The results of an open study stay as they were shown; that there are others is said.
  if (shown === "study") together.ask();
  if (shown === "list") run(() => list.refresh());
  if (shown === "operations") run(() => operations.refresh(run));
}

setInterval(() => shown === "operations" && !document.hidden && run(() => operations.refresh(run)), 5000);

async function state() {
  const found = await server.get("/api/status");
  at("silent").hidden = !found.silent_since;
  at("running").textContent = `· ${found.version}`;
  at("running").title = text("page.running", { version: found.version, settings: found.settings_revision });
}

setInterval(() => !document.hidden && state().catch(() => {}), 60_000); // what fails is told by what is looked at

async function session() {
  await state();
  const found = await server.get("/api/session");
  document.body.dataset.role = found.role;
  presence.user = found.user;
  list.isShared = !found.local;
  presence.onChange();
  lockAfter(found.idle_lock_s);
  at("to-cases").hidden = found.role === "reader";
  at("who").hidden = found.local;
  at("user").replaceChildren(...(found.role === "reader" ? [isolated(found.user)] : parts(`role.${found.role}`, { user: isolated(found.user) })));
  at("sign-out").hidden = !found.sign_out;
  at("sign-out").onclick = () => run(() => signOut(found.sign_out));
}

async function signOut(address) {
  await presence.leave();
  server.session.end();
  if (!address.startsWith("/api/")) return location.assign(address); // the reverse proxy's
  source.close();
  const { page, leave } = await server.post(address, {});
  if (leave) return server.leave(leave);
  await server.signIn(page);
}

/** What hides studies to be read first was chosen in this session: that of an earlier one is taken off. */
async function start() {
  await run(() => arrangement.load());
  followLanguage(arrangement.language);
  filters.show();
  await show();
}

list.onFound = ({ query, first, outside }) =>
  run(async () => {
    strip.tell({ first });
    if (await arrangement.tried(query, outside)) toast(text("filter.taken_off"));
  });

run(session);
watch();
start();
