// The list in reading order. It follows the server; the selected study stays selected where it moves.

import { at, element, show } from "./elements.js";
import * as server from "./server.js";
import { counted, duration, percent, plain, tag } from "./words.js";

const AT_ONCE = 100;

export class List {
  #entries = [];
  #cursor = null;
  #selected = null; // a Study Instance UID
  #wanted = AT_ONCE;
  #asking = 0; // only the last answer counts

  /** `open` shows a study. */
  constructor(open) {
    this.open = open;
    at("rows").addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row) this.#choose(row.dataset.uid, true);
    });
    at("more").addEventListener("click", () => this.more());
    // Waiting times advance without new data.
    setInterval(() => this.#tick(), 5000);
  }

  get selected() {
    return this.#selected;
  }

  /** Fetch the shown entries again. */
  async refresh() {
    const asking = ++this.#asking;
    const found = await this.#fetched(this.#wanted);
    if (asking !== this.#asking) return;
    [this.#entries, this.#cursor] = [found.entries, found.next_cursor];
    if (!this.#entries.some((each) => each.study_instance_uid === this.#selected)) this.#fall();
    this.#render(found);
    if (found.complete === false) setTimeout(() => asking === this.#asking && this.again(), 2000);
  }

  /** Called when a search should be repeated, because it could not cover all studies yet. */
  again = () => {};

  /** Start a new search, from the top. */
  restart() {
    this.#wanted = AT_ONCE;
    return this.refresh();
  }

  more() {
    if (!this.#cursor) return;
    this.#wanted += AT_ONCE;
    return this.refresh();
  }

  /** Select the next (1) or previous (-1) study; return true if there is one. */
  move(by) {
    const uids = this.#entries.map((each) => each.study_instance_uid);
    const to = uids.indexOf(this.#selected) + by;
    if (to < 0 || to >= uids.length) return false;
    this.#choose(uids[to], false);
    if (to > uids.length - 10) this.more();
    return true;
  }

  /** Return the study after `uid` in reading order, or null. */
  after(uid) {
    const place = this.#entries.findIndex((each) => each.study_instance_uid === uid);
    return this.#entries[place + 1]?.study_instance_uid ?? null;
  }

  select(uid) {
    this.#selected = uid;
  }

  entry(uid) {
    return this.#entries.find((each) => each.study_instance_uid === uid);
  }

  async #fetched(wanted) {
    if (at("which").value === "READ") return { ...(await server.get("/api/read?limit=200")), next_cursor: null };
    const query = at("which").value ? { tag: at("which").value } : {};
    const text = at("search").value.trim();
    const all = { entries: [], next_cursor: null, complete: true };
    do {
      query.limit = Math.min(wanted - all.entries.length, 500);
      if (all.next_cursor) query.cursor = all.next_cursor;
      // The query may hold a patient's name, which must be in no address.
      const page = text
        ? await server.post("/api/search", { ...query, text })
        : await server.get(`/api/worklist?${new URLSearchParams(query)}`);
      all.entries.push(...page.entries);
      [all.next_cursor, all.complete] = [page.next_cursor, page.complete];
    } while (all.next_cursor && all.entries.length < wanted);
    return all;
  }

  #choose(uid, openIt) {
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
    this.#selected = later ?? this.#entries[0]?.study_instance_uid ?? null;
  }

  #render(found) {
    show(at("rows"), () => this.#entries.map((each) => this.#row(each)));
    at("more").hidden = !this.#cursor;
    at("building").hidden = found.complete !== false;
    at("building").textContent = at("search").value.trim()
      ? "Names are still being read: not all studies are searched yet."
      : "The list is being rebuilt and may not be complete yet.";
    const searching = at("which").value || at("search").value.trim();
    at("empty").hidden = this.#entries.length > 0;
    at("empty").textContent = searching ? "Nothing matches." : "Nothing to read. New studies appear here by themselves.";
    at("found").textContent = searching
      ? `${counted(this.#entries.length, "study", "studies")}${this.#cursor ? " and more" : ""}`
      : "";
  }

  #row(each) {
    const cells = [
      element("td", { className: "priority" }, element("span", { className: each.priority }, each.priority)),
      element("td", {}, tag(each.tag)),
      element("td", { className: "number" }, percent(each.probability)),
      element("td", { className: "number waiting", dataset: { since: each.received_at } }, waited(each.received_at)),
      element("td", { className: "name" }, each.accession_number || "(none)"),
      element("td", { className: "name" }, each.calling_ae_title || ""),
      element("td", { className: "reasons" }, [...(each.prior ? ["prior"] : []), ...each.reasons].map(plain).join(", ")),
    ];
    const row = element("tr", { dataset: { uid: each.study_instance_uid } }, ...cells);
    return this.#mark(row);
  }

  #mark(row) {
    row.setAttribute("aria-selected", String(row.dataset.uid === this.#selected));
    return row;
  }

  #tick() {
    for (const cell of at("rows").querySelectorAll(".waiting")) cell.textContent = waited(cell.dataset.since);
  }
}

function waited(since) {
  return duration((Date.now() - Date.parse(since)) / 1000);
}
