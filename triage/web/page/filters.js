// The filter of the list, and the dialog in which its columns are chosen and put in order.

import { NO_FILTER } from "./arrangement.js";
import { COLUMNS } from "./columns.js";
import { at, element } from "./elements.js";
import * as server from "./server.js";
import { text } from "./texts.js";
import { tagWord, urgencyWord } from "./words.js";

const HOURS = ["", 1, 4, 12, 24, 72];

export class Filters {
  /** `run` runs an action and shows its error. */
  constructor(arrangement, list, run) {
    this.arrangement = arrangement;
    this.list = list;
    this.run = run;
    at("filter").addEventListener("click", () => this.#toggle());
    at("filters").addEventListener("change", () => run(() => this.#apply()));
    at("clear-filter").addEventListener("click", () => run(() => this.clear()));
    at("columns").addEventListener("click", () => this.#openColumns());
    at("columns-close").addEventListener("click", () => at("columns-dialog").close());
    at("columns-default").addEventListener("click", () => run(() => this.#change(null)));
    at("order").addEventListener("change", () => run(() => this.arrangement.change({ sort: sortOf(at("order").value) })));
    at("order").append(
      element("option", { value: "" }, text("filter.reading_order")),
      ...Object.entries(sortable()).flatMap(([column, title]) => [
        element("option", { value: column }, title),
        element("option", { value: `${column} desc` }, text("filter.reversed", { title })),
      ]),
    );
    at("by-urgency").append(...["", ...URGENCIES].map((value) => element("option", { value }, value ? urgencyWord(value) : text("filter.any"))));
    at("by-time").append(...HOURS.map((hours) => element("option", { value: hours }, hours ? arrived(hours) : text("filter.any_time"))));
  }

  async clear() {
    if (["ABNORMAL", "NOT_ASSESSED", "NORMAL"].includes(at("which").value)) at("which").value = "";
    await this.arrangement.change({ filter: NO_FILTER });
  }

  /** The tag of the select above the list is a part of the filter. */
  async chooseTag() {
    const tag = at("which").value;
    const tags = ["ABNORMAL", "NOT_ASSESSED", "NORMAL"].includes(tag) ? [tag] : [];
    await this.arrangement.change({ filter: { ...this.arrangement.filter, tags } });
  }

  /** Show the arrangement in the controls. */
  show() {
    const { filter, sort } = this.arrangement;
    if (!["READ", "WAITING"].includes(at("which").value)) at("which").value = filter.tags[0] ?? "";
    at("order").value = sort ? sort.column + (sort.descending ? " desc" : "") : "";
    at("age-from").value = filter.age_from ?? "";
    at("age-to").value = filter.age_to ?? "";
    at("by-time").value = filter.arrived_within_hours ?? "";
    for (const [id, name] of SELECTS) this.#fill(id, filter[name], filter[name]);
    const words = inWords(filter);
    at("applied").hidden = !words;
    at("applied-text").textContent = text("filter.applied", { filter: words });
    at("filter").classList.toggle("active", Boolean(words));
  }

  async #toggle() {
    const open = at("filters").hidden;
    at("filters").hidden = !open;
    at("filter").setAttribute("aria-expanded", String(open));
    if (!open) return;
    await this.run(async () => {
      const found = await server.get("/api/list/choices");
      for (const [id, name] of SELECTS) this.#fill(id, found[name] ?? [], this.arrangement.filter[name]);
    });
  }

  #fill(id, values, chosen) {
    const known = [...at(id).options].map((option) => option.value);
    const all = [...new Set([...known, ...values, ...chosen])].filter(Boolean);
    if (id !== "by-urgency") all.sort();
    const word = id === "by-urgency" ? urgencyWord : (value) => value;
    at(id).replaceChildren(element("option", { value: "" }, text("filter.any")), ...all.map((value) => element("option", { value }, word(value))));
    at(id).value = chosen[0] ?? "";
  }

  async #apply() {
    const number = (id) => (at(id).value === "" || !at(id).checkValidity() ? null : Number(at(id).value));
    const chosen = Object.fromEntries(SELECTS.map(([id, name]) => [name, at(id).value ? [at(id).value] : []]));
    const numbers = { age_from: number("age-from"), age_to: number("age-to"), arrived_within_hours: number("by-time") };
    await this.arrangement.change({ filter: { ...this.arrangement.filter, ...chosen, ...numbers } });
  }

  // Columns.

  #openColumns() {
    this.#renderColumns();
    at("columns-dialog").showModal();
  }

  #renderColumns() {
    const shown = this.list.columns;
    const others = Object.keys(COLUMNS).filter((name) => !shown.includes(name));
    at("columns-list").replaceChildren(...[...shown, ...others].map((name) => this.#columnItem(name, shown)));
  }

  #columnItem(name, shown) {
    const place = shown.indexOf(name);
    const box = element("input", { type: "checkbox", checked: place >= 0, dataset: { column: name } });
    box.addEventListener("change", () => this.#move(shown, name, box.checked ? shown.length : -1));
    return element(
      "li",
      {},
      element("label", {}, box, ` ${COLUMNS[name].title}`),
      this.#mover("↑", text("columns.before", { title: COLUMNS[name].title }), place > 0, shown, name, place - 1),
      this.#mover("↓", text("columns.behind", { title: COLUMNS[name].title }), place >= 0 && place < shown.length - 1, shown, name, place + 1),
    );
  }

  #mover(sign, label, can, shown, name, to) {
    const button = element("button", { type: "button", "aria-label": label, disabled: !can, dataset: { column: `${sign}${name}` } }, sign);
    button.addEventListener("click", () => this.#move(shown, name, to));
    return button;
  }

  #move(shown, name, to) {
    const columns = shown.filter((each) => each !== name);
    if (to >= 0) columns.splice(to, 0, name);
    if (columns.length) this.run(() => this.#change(columns));
    else this.#renderColumns(); // a list without columns shows nothing
  }

  async #change(columns) {
    const focused = document.activeElement?.dataset?.column;
    await this.arrangement.change({ columns });
    this.#renderColumns();
    const again = focused && at("columns-list").querySelector(`[data-column="${CSS.escape(focused)}"]`);
    if (again && !again.disabled) again.focus();
  }
}

const SELECTS = [
  ["by-sender", "senders"],
  ["by-view", "views"],
  ["by-urgency", "urgencies"],
];
const URGENCIES = ["critical", "urgent", "nonurgent", "not_assessed", "normal"];

/** The words for studies that arrived within so many hours, by themselves or `inside` a line. */
function arrived(hours, inside = false) {
  if (hours > 24) return text(inside ? "filter.of_last_days" : "filter.last_days", { count: hours / 24 });
  return text(inside ? "filter.of_last_hours" : "filter.last_hours", { count: hours });
}

function sortable() {
  const titles = {};
  for (const { sort, title } of Object.values(COLUMNS)) if (sort) titles[sort] ??= title;
  return titles;
}

function sortOf(value) {
  const [column, descending] = value.split(" ");
  return column ? { column, descending: Boolean(descending) } : null;
}

function inWords(filter) {
  const ages = [filter.age_from !== null && text("filter.from_years", { years: filter.age_from }), filter.age_to !== null && text("filter.to_years", { years: filter.age_to })];
  return [
    ...filter.tags.map((tag) => text("filter.of_tag", { tag: tagWord(tag) })),
    ...filter.urgencies.map((urgency) => text("filter.of_urgency", { urgency: urgencyWord(urgency) })),
    ...filter.senders.map((sender) => text("filter.of_sender", { sender })),
    ...filter.views.map((view) => text("filter.of_view", { view })),
    ages.some(Boolean) && text("filter.of_age", { ages: ages.filter(Boolean).join(", ") }),
    filter.arrived_within_hours && arrived(filter.arrived_within_hours, true),
  ]
    .filter(Boolean)
    .join("; ");
}
