// The list. It follows the server; the selected study stays selected where it moves.

import { cell, COLUMNS, defaultColumns, waited } from "./columns.js";
import { at, element, show } from "./elements.js";
import * as server from "./server.js";
import { text } from "./texts.js";

const AT_ONCE = 100;
const NOTHING = { high: 0, past_cap: 0 };

/** True for a study that comes first in reading order. */
export const isFirst = (each) => each.priority === "HIGH" || Boolean(each.past_cap);

export class List {
  #entries = [];
  #cursor = null;
  #selected = null; // a Study Instance UID
  #wanted = AT_ONCE;
  #asking = 0; // only the last answer counts
  #adding = false;
  #made = new Map(); // by study: its row, and what it was made of
  #head = ""; // the columns of the head
  #tell = () => {}; // fulfils `came`

  /** `open` shows a study, `arrangement` has columns, order and filter. */
  constructor(open, arrangement) {
    this.open = open;
    this.arrangement = arrangement;
    this.found = { outside: NOTHING };
    /** Fulfilled when the first list has come. */
    this.came = new Promise((fulfil) => (this.#tell = fulfil));
    at("rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.#choose(row.dataset.uid, true);
    });
    at("head").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.#sortBy(button.dataset.column);
    });
    // Further studies come before the end is in sight.
    document.addEventListener("scroll", () => this.#isNearEnd() && this.again(() => this.more()), { capture: true, passive: true });
    // Waiting times advance without new data.
    setInterval(() => this.#tick(), 5000);
  }

  get selected() {
    return this.#selected;
  }

  get entries() {
    return this.#entries;
  }

  /** Called when the shown studies or their number changed. */
  onShow = () => {};

  /** Called when the reader selects a study. */
  onChoose = () => {};

  /** Called when another study or another result is selected than the reader chose: that one has left the list. */
  onFall = () => {};

  /** Several users sign in. */
  isShared = false;

  /** Return the names of the users who have a study open. */
  openBy = () => [];

  /** Called with each answer of the server, and the `query` that it answers. */
  onFound = () => {};

  /** Called with what is to be done again, or without a reader's act: it may be refused. */
  again = (doing) => doing();

  /** Fetch the shown entries again. */
  async refresh() {
    const asking = ++this.#asking;
    const found = await this.#fetched(this.#wanted);
    if (asking !== this.#asking) return;
    this.found = found;
    const before = this.entry(this.#selected)?.revision;
    [this.#entries, this.#cursor] = [found.entries, found.next_cursor];
    const now = this.entry(this.#selected)?.revision;
    if (before && now && before !== now) this.onFall();
    if (!this.#entries.some((each) => each.study_instance_uid === this.#selected)) this.#fall();
    this.#render();
    this.onFound(found);
    this.#tell();
    if (found.complete === false) setTimeout(() => asking === this.#asking && this.again(() => this.refresh()), 2000);
  }

  /** Start from the top: another search, order or filter. */
  restart() {
    this.#wanted = AT_ONCE;
    at("list-rows").scrollTop = 0;
    return this.refresh();
  }

  async more() {
    if (!this.#cursor || this.#adding) return;
    this.#adding = true;
    this.#wanted = this.#entries.length + AT_ONCE;
    try {
      await this.refresh();
    } finally {
      this.#adding = false;
    }
  }

  /** Select the next (1) or previous (-1) study; return true if there is one. */
  move(by) {
    const uids = this.#entries.map((each) => each.study_instance_uid);
    const to = uids.indexOf(this.#selected) + by;
    if (to < 0 || to >= uids.length) return false;
    this.#choose(uids[to], false);
    if (to > uids.length - 10) this.again(() => this.more());
    return true;
  }

  /** Return the study after `uid` in the order shown, or null. */
  after(uid) {
    const place = this.#entries.findIndex((each) => each.study_instance_uid === uid);
    return this.#entries[place + 1]?.study_instance_uid ?? null;
  }

  select(uid) {
    this.#selected = uid;
  }

  /** Select the study on top. */
  selectFirst() {
    if (this.#entries.length) this.#choose(this.#entries[0].study_instance_uid, false);
  }

  entry(uid) {
    return this.#entries.find((each) => each.study_instance_uid === uid);
  }

  /** Return the entries whose rows are on the screen. */
  visible() {
    const box = at("list-rows").getBoundingClientRect();
    const [top, bottom] = [Math.max(box.top + at("head").offsetHeight, 0), Math.min(box.bottom, innerHeight)];
    return [...at("rows").rows]
      .filter((row) => {
        const { top: upper, bottom: lower } = row.getBoundingClientRect();
        return lower > top + 4 && upper < bottom - 4;
      })
      .map((row) => this.entry(row.dataset.uid))
      .filter(Boolean);
  }

  /** Return what is asked of the server, without the page. */
  get query() {
    const which = at("which").value;
    const show = { READ: "read", WAITING: "untagged" }[which] ?? "unread";
    const { sort, filter } = this.arrangement;
    return { show, text: at("search").value.trim(), sort: show === "untagged" ? null : sort, filter };
  }

  async #fetched(wanted) {
    const query = this.query;
    const all = { entries: [], next_cursor: null, complete: true, outside: NOTHING, query };
    do {
      const limit = Math.min(wanted - all.entries.length, 500);
      // In the body: a search may hold a patient's name, which must be in no address.
      const page = await this.#page({ ...query, limit, cursor: all.next_cursor });
      all.entries.push(...page.entries);
      Object.assign(all, { ...page, entries: all.entries });
    } while (all.next_cursor && all.entries.length < wanted);
    return all;
  }

  async #page(query) {
    try {
      return await server.post("/api/list", query);
    } catch (error) {
      const isPlain = query.show === "unread" && !query.text && !query.sort && !this.arrangement.filters;
      if (error.status !== 503 || !isPlain) throw error;
      return this.#withoutPatients(query, error);
    }
  }

  /** The look at patients cannot be recorded, so that they are not shown: what must not be taken away is the order. */
  async #withoutPatients({ limit, cursor }, error) {
    const query = new URLSearchParams({ limit, ...(cursor ? { cursor } : {}) });
    const page = await server.get(`/api/worklist?${query}`).catch(() => {
      throw error;
    });
    return { ...page, outside: NOTHING, without: error.message };
  }

  #sortBy(name) {
    const column = COLUMNS[name].sort;
    const { sort } = this.arrangement;
    if (!column) return this.again(() => this.arrangement.change({ sort: null }));
    const next = sort?.column !== column ? { column, descending: false } : sort.descending ? null : { column, descending: true };
    return this.again(() => this.arrangement.change({ sort: next }));
  }

  #choose(uid, openIt) {
    this.onChoose();
    this.#selected = uid;
    for (const row of at("rows").rows) this.#mark(row);
    at("rows").querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
    if (openIt) this.open(uid);
  }

  /** The selected study has left the list: select its successor, which is now in its place. */
  #fall() {
    const rows = [...at("rows").rows].map((row) => row.dataset.uid);
    const there = new Set(this.#entries.map((each) => each.study_instance_uid));
    const later = rows.slice(rows.indexOf(this.#selected) + 1).find((uid) => there.has(uid));
    const before = this.#selected;
    this.#selected = later ?? this.#entries[0]?.study_instance_uid ?? null;
    if (before !== null) this.onFall();
  }

  #render() {
    const columns = this.columns;
    this.#renderHead(columns);
    const rows = this.#entries.map((each) => this.#row(each, columns));
    this.#made = new Map(rows.map((row) => [row.dataset.uid, { row, text: row.madeOf }]));
    show(at("rows"), () => rows);
    this.#renderWords();
    requestAnimationFrame(() => this.onShow());
  }

  /** The names of the shown columns. */
  get columns() {
    const chosen = this.arrangement.columns ?? defaultColumns(this.#entries, this.isShared);
    return chosen.filter((name) => COLUMNS[name] && (this.arrangement.namesShown || !["patient_name", "referrer"].includes(name)));
  }

  #renderHead(columns) {
    const { sort } = this.arrangement;
    const head = JSON.stringify([columns, sort]);
    if (head === this.#head) return;
    this.#head = head;
    const focused = at("head").contains(document.activeElement) && document.activeElement.dataset.column;
    at("head").replaceChildren(element("tr", { role: "row" }, ...columns.map((name) => headCell(name, sort))));
    if (focused) at("head").querySelector(`[data-column="${focused}"]`)?.focus();
  }

  /** Show anew who has the studies open. */
  showOpen() {
    if (this.#entries.length) this.#render();
  }

  #row(each, columns) {
    each.open_by = this.openBy(each.study_instance_uid);
    const madeOf = JSON.stringify([columns, each]);
    const known = this.#made.get(each.study_instance_uid);
    const row = known?.text === madeOf ? known.row : element("tr", { role: "row", dataset: { uid: each.study_instance_uid } }, ...columns.map((name) => cell(name, each)));
    row.madeOf = madeOf;
    row.classList.toggle("first", isFirst(each));
    return this.#mark(row);
  }

  #mark(row) {
    row.setAttribute("aria-selected", String(row.dataset.uid === this.#selected));
    return row;
  }

  #renderWords() {
    const { complete, matching, without } = this.found;
    const { show, text: searched } = this.query;
    const chosen = searched || this.arrangement.filters || show !== "unread";
    at("building").hidden = complete !== false && !without;
    at("building").textContent = without
      ? text("list.without", { why: without })
      : searched || this.arrangement.sort || this.arrangement.filters
        ? text("list.reading_names")
        : text("list.rebuilding");
    at("empty").hidden = this.#entries.length > 0;
    at("empty").textContent = text(chosen ? "list.no_match" : "list.nothing");
    at("found").textContent = chosen ? text("list.found", { count: matching ?? this.#entries.length }) : "";
  }

  #isNearEnd() {
    return this.#cursor && !at("list-view").hidden && at("end").getBoundingClientRect().top < 3 * innerHeight;
  }

  #tick() {
    for (const waiting of at("rows").querySelectorAll(".waiting")) waiting.textContent = waited(waiting.dataset.since);
    this.onShow();
  }
}

function headCell(name, sort) {
  const { title, sort: column, className = "" } = COLUMNS[name];
  const sorted = column ? sort?.column === column : !sort && name === "priority";
  const direction = sorted ? (sort?.descending ? "descending" : "ascending") : "none";
  const sign = sorted && sort ? (sort.descending ? " ↓" : " ↑") : "";
  const head = element("th", { scope: "col", role: "columnheader", className: className.includes("number") ? "number" : "" });
  if (!column && name !== "priority") return head.append(title), head;
  const hint = column ? text("list.sort_by", { title }) : text("filter.reading_order");
  const arrow = element("span", { "aria-hidden": "true" }, sign);
  head.append(element("button", { type: "button", className: "sort", title: hint, dataset: { column: name } }, title, arrow));
  head.setAttribute("aria-sort", direction);
  return head;
}
