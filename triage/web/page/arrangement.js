// How the reader has arranged the list: its columns, order and filter. Kept by the server for each user.
//
// A filter that hides studies to be read first does not survive the session: at the first look of the next one it is
// taken off. What is searched for is kept nowhere.

import * as server from "./server.js";

export const NO_FILTER = { tags: [], urgencies: [], senders: [], views: [], age_from: null, age_to: null, arrived_within_hours: null };

export class Arrangement {
  columns = null; // names; null: the default ones
  sort = null; // { column, descending }; null: the reading order
  filter = NO_FILTER;
  namesShown = true;
  language = null; // null: as the site or the browser says
  #loading = null;
  #untried = false; // the filter is of an earlier session, and what it hides is not known yet

  /** Called after each change. */
  onChange = () => {};

  /** Fetch what the server keeps. A change waits for it, and is not undone by it. */
  load() {
    this.#loading = this.#load();
    return this.#loading;
  }

  async #load() {
    const found = await server.get("/api/preferences");
    this.columns = found.columns;
    this.sort = found.sort;
    this.filter = { ...NO_FILTER, ...found.filter };
    this.language = found.language;
    this.namesShown = found.patient_names;
    this.#untried = this.filters && !server.session.has("filtered");
  }

  /** True if a filter is set. */
  get filters() {
    return JSON.stringify(this.filter) !== JSON.stringify(NO_FILTER);
  }

  /** Change columns, sort or filter, and have the server keep it. */
  async change(changes) {
    await this.#loading?.catch(() => {}); // its caller tells what went wrong
    Object.assign(this, changes);
    if (changes.filter) this.#ofThisSession();
    this.onChange();
    await server.post("/api/preferences", { columns: this.columns, sort: this.sort, filter: this.filter, language: this.language });
  }

  /**
   * What a filter leaves out is known: `outside` of an answer to `query`. At the first such answer of a session, return
   * true if the filter was taken off because it hides studies to be read first.
   */
  async tried({ show, text, filter }, { high, past_cap: pastCap }) {
    if (!this.#untried || filter !== this.filter || show !== "unread" || text) return false;
    this.#ofThisSession();
    if (!high && !pastCap) return false;
    await this.change({ filter: NO_FILTER });
    return true;
  }

  #ofThisSession() {
    this.#untried = false;
    server.session.add("filtered");
  }
}
