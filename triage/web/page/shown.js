// Rows that were on the screen for a while, told to the server: what of the result was in view, and of which result. Each
// is told once. Nothing is told while the page is hidden, or has had no input for a while.

import * as server from "./server.js";

const EVERY_MS = 2000;
const AT_ONCE = 20;
const COLUMNS = ["tag", "urgency", "priority", "findings", "probability"];

export class Shown {
  #before = new Set(); // rows of the look before: what stays for two is in view
  #told = new Set();
  #telling = false;

  /** `list` is the list; `isOpen` returns true while it is the view. */
  constructor(list, isOpen) {
    setInterval(() => isOpen() && !document.hidden && this.#look(list), EVERY_MS);
  }

  #look(list) {
    const visible = COLUMNS.filter((name) => list.columns.includes(name));
    if (list.query.show === "unread" && !list.query.sort) visible.push("order");
    const rows = list.visible().filter((each) => each.revision);
    const named = new Map(rows.map((each) => [JSON.stringify([each.study_instance_uid, each.revision, visible]), each]));
    const stayed = [...named].filter(([name]) => this.#before.has(name) && !this.#told.has(name));
    this.#before = new Set(named.keys());
    if (visible.length && stayed.length && !this.#telling) this.#tell(stayed.slice(0, AT_ONCE), visible);
  }

  async #tell(some, visible) {
    this.#telling = true;
    const rows = Object.fromEntries(some.map(([, each]) => [each.study_instance_uid, each.revision]));
    try {
      const { noted } = await server.post("/api/shown", { rows, visible });
      if (noted) for (const [name] of some) this.#told.add(name);
    } catch (error) {
      if (!(error instanceof server.Refused)) throw error; // the page itself says that the server does not answer
    } finally {
      this.#telling = false;
    }
  }
}
