// The server sends changes, and a heartbeat every 15 s. A longer silence means a fault on the way (a proxy that buffers,
// a connection that was never closed): then the page says so, connects again and polls.

import { at } from "./elements.js";
import * as server from "./server.js";
import { LOCALE, text } from "./texts.js";
import { clock } from "./words.js";

const SILENT_MS = 40_000;
const ASK_MS = 15_000;
const BETWEEN_MS = 1000; // many changes at once cause one request a second
const AGAIN_MS = 5000;

export class Live {
  #source = null;
  #changedAt = 0;
  #due = null;
  #heardAt = Date.now(); // the stream spoke last
  #listAt = Date.now(); // the list was last known to be as it is
  #askedAt = 0;
  #answered = false; // when the page asked by itself
  #down = ""; // what the list gets no answer of: redis, or store

  /** `presence` is told what is open; `strip` the studies that come first. */
  constructor(presence, strip) {
    this.presence = presence;
    this.strip = strip;
  }

  /** Called when the list has changed. */
  onChange = () => {};

  /** Called when the stream was refused, before it is asked for again. */
  onRefused = async () => {};

  /** Called to look by itself, as the stream is silent; true if the list may be read. */
  onAsk = async () => {};

  /** Listen from now on. */
  begin() {
    this.#watch();
    setInterval(() => this.#check(), 1000);
  }

  end() {
    this.#source?.close();
  }

  #watch() {
    this.end();
    this.#source = new EventSource(server.here("/api/changes"));
    this.#source.addEventListener("alive", () => this.#heard());
    this.#source.addEventListener("presence", (event) => this.presence.told(JSON.parse(event.data).open));
    this.#source.addEventListener("list", (event) => this.#listed(JSON.parse(event.data)));
    this.#source.addEventListener("signed-out", () => server.signIn());
    this.#source.onerror = () => this.#failed();
  }

  #listed(state) {
    this.#down = ["redis", "store"].find((engine) => state[engine]) ?? "";
    dispatchEvent(new CustomEvent("worklist-changed")); // for calls.js
    this.#heard();
    at("listed").textContent = this.#down ? "" : state.listed.toLocaleString(LOCALE);
    if (!this.#down) this.strip.tell(state);
    this.#due ??= setTimeout(() => this.#changed(), Math.max(0, this.#changedAt + BETWEEN_MS - Date.now()));
  }

  #changed() {
    this.#due = null;
    this.#changedAt = Date.now();
    this.onChange();
  }

  #failed() {
    this.#heardAt = Math.min(this.#heardAt, Date.now() - SILENT_MS);
    this.#answered = false;
    this.presence.told(null);
    this.#tell();
    // The browser does not repeat a refused stream; asking for the session leads to the sign-in if it has ended.
    if (this.#source.readyState === EventSource.CLOSED) setTimeout(() => this.onRefused().then(() => this.#watch()), AGAIN_MS);
  }

  #heard() {
    this.presence.heard();
    this.#heardAt = this.#listAt = Date.now();
    this.#answered = false;
    this.#tell();
  }

  get #isSilent() {
    return Date.now() - this.#heardAt >= SILENT_MS;
  }

  #check() {
    if (!this.#isSilent) return;
    if (this.#source.readyState === EventSource.OPEN) this.#watch();
    if (Date.now() - this.#askedAt >= ASK_MS) this.#ask();
    this.#tell();
  }

  async #ask() {
    this.#askedAt = Date.now();
    try {
      const { worklist, redis, worklist_studies: listed } = await server.get("/api/status");
      this.#down = worklist === "up" ? "" : redis === "up" ? "store" : "redis";
      at("listed").textContent = this.#down ? "" : listed.toLocaleString(LOCALE);
      this.presence.told((await server.get("/api/open")).open);
      await this.onAsk(!this.#down);
      this.#listAt = Date.now();
      this.#answered = true;
    } catch (error) {
      if (!(error instanceof server.Refused)) throw error;
      this.#answered = false;
    }
    this.#tell();
  }

  #tell() {
    if (this.#down) say(this.#down === "store" ? text("live.store") : text("live.redis"));
    else if (!this.#isSilent) say("");
    else if (this.#answered) say(text("live.asked", { seconds: ASK_MS / 1000, time: clock(this.#listAt) }));
    else say(text("live.silent", { time: clock(this.#listAt) }));
  }
}

function say(trouble) {
  at("live").textContent = trouble || text("live.live");
  at("live").classList.toggle("warning", Boolean(trouble));
}
