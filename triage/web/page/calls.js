// What calls a reader to the page: the count of unread HIGH studies in title and icon, and, on request, a sound and a
// notification; alarms of paging in a strip that cannot be closed. It wires itself: page.html loads it, nothing else.

import { at, element } from "./elements.js";
import * as server from "./server.js";
import { text } from "./texts.js";

const ASK_MS = 5000;
const QUIET_MS = 10_000; // between two sounds
const LATE_MS = 3000;
const WISHES = { sound: "triage.sound", notice: "triage.notice" };

let known = null; // UIDs of the last answer
let unread = null;
let lastAt = 0;
let soundedAt = 0;
let asking = null;
let audio = null;

const wished = (name) => localStorage.getItem(WISHES[name]) === "on";
const wish = (name, on) => localStorage.setItem(WISHES[name], on ? "on" : "off");

// The strip and the two switches.

const strip = element("p", { id: "calls", role: "alert", lang: "en", hidden: true });
const sound = element("button", { type: "button", id: "call-sound", title: text("calls.sound_hint") }, text("calls.sound"));
const notice = element("button", { type: "button", id: "call-notice", title: text("calls.notice_hint") }, text("calls.notice"));

function build() {
  document.head.append(
    element("link", { rel: "stylesheet", href: server.here("/page/calls.css") }),
    element("link", { id: "icon", rel: "icon", type: "image/svg+xml", href: server.here("/icon/0") }),
  );
  at("keys").before(sound, notice);
  document.querySelector("header").append(strip); // on a line of its own in it, whatever the layout of the page
  sound.addEventListener("click", () => {
    wish("sound", !wished("sound"));
    if (wished("sound")) play(); // the reader hears what it will be
    press();
  });
  notice.addEventListener("click", async () => {
    const on = !wished("notice") && "Notification" in window && (await Notification.requestPermission()) === "granted";
    wish("notice", on);
    press();
  });
  notice.hidden = !("Notification" in window);
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, unlock, { capture: true, passive: true });
  press();
}

/** A browser plays nothing before the first press in a page: use that one, and say so until it comes. */
function unlock() {
  if (!wished("sound") || audio?.state === "running") return;
  audio ??= new AudioContext();
  audio.resume().then(press);
}

function press() {
  const allowed = "Notification" in window && Notification.permission === "granted";
  sound.setAttribute("aria-pressed", String(wished("sound")));
  const locked = wished("sound") && audio?.state !== "running";
  sound.textContent = text(locked ? "calls.sound_locked" : "calls.sound");
  sound.classList.toggle("warning", locked);
  notice.setAttribute("aria-pressed", String(wished("notice") && allowed));
}

// The count.

async function ask() {
  lastAt = Date.now();
  try {
    const found = await server.get("/api/attention");
    show(found);
  } catch (error) {
    if (!(error instanceof server.Refused)) throw error; // the page itself says that the server does not answer
  }
}

function show({ unread_high: count, studies, paging }) {
  const alarms = paging?.alarms ?? [];
  if (strip.textContent !== alarms.join(" ")) strip.textContent = alarms.join(" ");
  strip.hidden = !alarms.length;
  if (count === null) return;
  const news = known !== null && (count > unread || studies.some((uid) => !known.has(uid)));
  [unread, known] = [count, new Set(studies)];
  title();
  const icon = server.here(`/icon/${count}`);
  if (at("icon").getAttribute("href") !== icon) at("icon").setAttribute("href", icon);
  if (news) call();
}

/** Put the count before the title, which other parts of the page set. */
function title() {
  const plain = document.title.replace(/^\(\d+\) /, "");
  const wanted = unread ? `(${unread}) ${plain}` : plain;
  if (document.title !== wanted) document.title = wanted;
}

// The call.

function call() {
  document.body.dataset.calls = String(Number(document.body.dataset.calls ?? 0) + 1);
  if (wished("sound") && Date.now() - soundedAt > QUIET_MS) play();
  if (wished("notice") && Notification.permission === "granted") {
    const body = text("calls.unread", { count: unread }); // and no word about a patient
    const shown = new Notification("cxr-triage", { body, tag: "cxr-triage", renotify: true });
    shown.onclick = () => window.focus();
  }
}

/** Two tones, of the browser's own synthesizer: no file, and no other server. */
function play() {
  soundedAt = Date.now();
  audio ??= new AudioContext();
  const asked = Date.now();
  // Where the browser still plays nothing, a call that is old by the time it may is not made.
  audio.resume().then(() => {
    press();
    if (Date.now() - asked < LATE_MS) tones();
  });
}

function tones() {
  [660, 880].forEach((hertz, index) => {
    const [tone, volume, begins] = [audio.createOscillator(), audio.createGain(), audio.currentTime + index * 0.18];
    tone.frequency.value = hertz;
    volume.gain.setValueAtTime(0.15, begins);
    volume.gain.exponentialRampToValueAtTime(0.001, begins + 0.3);
    tone.connect(volume).connect(audio.destination);
    tone.start(begins);
    tone.stop(begins + 0.3);
  });
}

build();
new MutationObserver(title).observe(document.querySelector("title"), { childList: true });
// The page tells of changes of the list at once; without that the count is at most so old.
addEventListener("worklist-changed", () => {
  asking ??= setTimeout(() => {
    asking = null;
    ask();
  }, Math.max(0, lastAt + 1000 - Date.now()));
});
setInterval(() => Date.now() - lastAt >= ASK_MS && ask(), ASK_MS);
ask();
