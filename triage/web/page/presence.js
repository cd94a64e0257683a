// Presence: which studies are open on the pages of all users now. This page tells the server which study it shows, again
// and again; the stream tells what all show. A page that says nothing more is gone after the server's lease.

import * as server from "./server.js";

const BEAT_MS = 10_000;

export class Presence {
  #page = [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
  #study = null;
  #beatAt = 0;
  #open = null; // by study: the number of pages by user; null: not known

  constructor() {
    setInterval(() => this.#beat(), BEAT_MS);
    addEventListener("pagehide", () => this.leave());
    addEventListener("pageshow", (event) => event.persisted && this.#beat());
  }

  /** Called when what is open has changed. */
  onChange = () => {};

  get known() {
    return this.#open !== null;
  }

  /** The name of the user of this page. */
  user = null;

  /** This page shows a study, or none. */
  show(uid) {
    if (uid === this.#study) return;
    const before = this.#study;
    this.#study = uid;
    this.#beatAt = 0;
    if (uid) this.#beat();
    else if (before) this.#say(before, false);
    this.onChange();
  }

  /** The stream spoke. A browser may wake a page in the background by that alone. */
  heard() {
    this.#beat();
  }

  /** The server's answer: what is open, or null if that is not known. */
  told(open) {
    if (JSON.stringify(open) === JSON.stringify(this.#open)) return;
    this.#open = open;
    this.onChange();
  }

  /** The names of users who have a study open, without this page itself. */
  at(uid) {
    if (this.user === null) return []; // it is not known yet which of them is this user
    return Object.entries(this.#open?.[uid] ?? {})
      .filter(([user, pages]) => pages > (uid === this.#study && user === this.user ? 1 : 0))
      .map(([user]) => user);
  }

  /** Say that this page shows nothing, also while it closes. */
  async leave() {
    if (this.#study) await this.#say(this.#study, false);
  }

  #beat() {
    if (!this.#study || Date.now() - this.#beatAt < BEAT_MS - 500) return;
    this.#beatAt = Date.now();
    this.#say(this.#study, true);
  }

  async #say(uid, open) {
    try {
      await server.post(`/api/studies/${uid}/presence`, { page: this.#page, open }, { keepalive: true });
    } catch (error) {
      if (!(error instanceof server.Refused)) throw error; // the stream tells that it is not known
    }
  }
}
