// Locks a page that nothing was done on, for workstations that people share. What is on the screen leaves the document,
// the session answers nothing more, and all pages of this browser follow. Input in one of them counts for all.

import { asked, posting } from "./asking.js";
import { element } from "./elements.js";
import * as server from "./server.js";
import { text } from "./texts.js";

const INPUTS = ["keydown", "pointerdown", "pointermove", "wheel", "touchstart"];
const TOLD_MS = 1000; // other pages hear of input so often

const channel = "BroadcastChannel" in window ? new BroadcastChannel("triage-lock") : null;
let limitMs = 0;
let lastInput = Date.now();
let toldAt = 0;
let extendedAt = Date.now();
let locked = false;

/** Lock this page after `seconds` without input; 0 never. */
export function lockAfter(seconds = 0) {
  const begun = limitMs > 0;
  limitMs = seconds * 1000;
  if (!seconds || begun) return;
  server.leaveFor("/locked");
  for (const kind of INPUTS) addEventListener(kind, input, { capture: true, passive: true });
  channel?.addEventListener("message", ({ data }) => (data.locked ? leave() : heard(data.input)));
  addEventListener("visibilitychange", check);
  // A page that the browser kept for its Back button was locked meanwhile, or may have to be.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  setInterval(check, Math.min(1000, limitMs / 10));
}

const isDue = () => limitMs > 0 && Date.now() - lastInput >= limitMs;

function input() {
  if (isDue()) return lock(); // the machine slept, or the browser did not run this page
  lastInput = Date.now();
  if (lastInput - toldAt < TOLD_MS) return;
  toldAt = lastInput;
  channel?.postMessage({ input: lastInput });
  extend();
}

function heard(at) {
  lastInput = Math.max(lastInput, at);
}

/** The server counts requests: tell it of input that causes none, such as windowing an image for long. */
function extend() {
  if (Date.now() - extendedAt < limitMs / 4) return;
  extendedAt = Date.now();
  server.get("/api/session").catch((error) => {
    if (!(error instanceof server.Refused)) throw error;
  });
}

function check() {
  if (isDue()) lock();
}

/** Lock the session and leave. */
async function lock() {
  if (locked) return;
  channel?.postMessage({ locked: true });
  clear();
  await asked(server.here("/api/session/lock"), posting({}), "").catch(() => {});
  go();
}

/** Another page of this browser has locked the session. */
function leave() {
  if (locked) return;
  clear();
  go();
}

/** Take everything off the document. What still comes in finds no place to be shown. */
function clear() {
  locked = true;
  const ignored = (event) => event.preventDefault();
  addEventListener("error", ignored);
  addEventListener("unhandledrejection", ignored);
  document.title = text("lock.locked");
  const body = document.createElement("body");
  body.className = "door";
  body.append(element("main", {}, element("h1", {}, text("lock.locked")), element("p", {}, element("a", { href: address() }, text("lock.unlock")))));
  document.documentElement.replaceChild(body, document.body);
}

const address = () => `${server.here("/locked")}?next=${encodeURIComponent(server.place(location.pathname))}`;

function go() {
  server.session.end();
  location.replace(address());
}
