// The columns of the list: what each shows of a study, and what the server can sort by.
//
// `open_by`: names of users who have the study open, as presence.js knows them.

import { claimant } from "./claim.js";
import { element } from "./elements.js";
import { siteLinks } from "./links.js";
import { text } from "./texts.js";
import { ageOf, dateOf, duration, findingTitle, moment, nameOf, percent, reasonWord, shortMoment, tag, urgencyWord, ZONE } from "./words.js";

/** `sort`: the server's name of the order; `optional`: left out of the default columns while no study has a value, `shared`: unless users sign in. */
export const COLUMNS = {
  priority: { title: text("column.priority"), cell: (each) => priority(each), className: "priority" },
  urgency: { title: text("column.urgency"), sort: "urgency", cell: (each) => urgency(each.urgency), optional: true },
  tag: { title: text("column.tag"), sort: "tag", cell: (each) => (each.tag ? tag(each.tag) : element("span", { className: "quiet" }, text("column.no_result"))) },
  findings: { title: text("column.findings"), text: (each) => (each.findings ?? []).map(finding).filter(Boolean).join(", "), className: "long", optional: true },
  open_by: { title: text("column.open_by"), text: (each) => (each.open_by ?? []).join(", "), className: "name", shared: true },
  claim: { title: text("column.claim"), text: (each) => claimant(each.claim), className: "name", optional: true },
  patient_name: { title: text("column.patient_name"), sort: "patient_name", text: (each) => nameOf(each.patient_name ?? ""), className: "name patient" },
  patient_id: { title: text("column.patient_id"), sort: "patient_id", text: (each) => each.patient_id, className: "name" },
  birth_date: { title: text("column.birth_date"), text: (each) => dateOf(each.birth_date ?? ""), className: "number", unasked: true },
  age: { title: text("column.age"), sort: "age", text: (each) => [ageOf(each.age_years), each.sex].filter(Boolean).join(" ") },
  study_description: { title: text("column.study_description"), sort: "study_description", text: (each) => each.study_description, className: "name", optional: true },
  view: { title: text("column.view"), sort: "view", text: (each) => (each.view ?? "").replace("UNKNOWN", "?"), className: "name" },
  waiting: { title: text("column.waiting"), sort: "arrived", since: (each) => each.received_at, className: "number waiting" },
  waiting_acquired: { title: text("column.waiting_acquired"), sort: "acquired", since: (each) => each.acquired_at, className: "number waiting", unasked: true },
  acquired: { title: text("column.acquired", { zone: ZONE }), sort: "acquired", text: (each) => shortMoment(each.acquired_at), hint: (each) => moment(each.acquired_at), className: "number" },
  location: { title: text("column.location"), sort: "location", text: (each) => each.location, className: "name", optional: true },
  referrer: { title: text("column.referrer"), sort: "referrer", text: (each) => nameOf(each.referrer ?? ""), className: "name", optional: true },
  accession: { title: text("column.accession"), sort: "accession", text: (each) => each.accession_number || text("column.none"), className: "name" },
  links: { title: text("column.links"), cell: (each) => element("span", {}, ...siteLinks(each.links)), optional: true },
  sender: { title: text("column.sender"), sort: "sender", text: (each) => each.calling_ae_title, className: "name" },
  probability: { title: text("column.probability"), text: (each) => percent(each.probability), className: "number", unasked: true },
  reasons: { title: text("column.reasons"), text: (each) => [...(each.prior ? ["prior"] : []), ...(each.reasons ?? [])].map(reasonWord).join(", "), className: "reasons" },
};

/** The columns that are shown to a user who chose none. */
export function defaultColumns(entries, isShared = false) {
  const shown = ([, column]) => !column.unasked && (isShared || !column.shared) && (!column.optional || entries.some((each) => value(column, each)));
  return Object.entries(COLUMNS).filter(shown).map(([name]) => name);
}

const value = (column, each) => (column.text ? column.text(each) : column.cell(each)?.textContent);

/** The cell of a column. Texts of senders are isolated: a name from right to left changes the order of nothing else. */
export function cell(name, each) {
  const column = COLUMNS[name];
  const made = element("td", { className: column.className ?? "", role: "gridcell", dataset: { label: column.title } });
  if (column.since) {
    const since = column.since(each);
    if (since) Object.assign(made.dataset, { since });
    made.textContent = waited(since);
  } else if (column.cell) {
    made.append(column.cell(each) ?? "");
  } else {
    const shown = column.text(each) || "";
    made.append(element("bdi", {}, shown));
    made.title = column.hint?.(each) ?? shown;
  }
  return made;
}

export const waited = (since) => (since ? duration((Date.now() - Date.parse(since)) / 1000) : "");

function priority(each) {
  if (!each.priority) return null;
  const made = document.createDocumentFragment();
  made.append(element("span", { className: each.priority }, each.priority));
  if (each.past_cap) made.append(" ", element("span", { className: "late" }, text("column.past_cap")));
  return made;
}

const urgency = (name) => (name ? element("span", { className: `urgency ${name}` }, urgencyWord(name)) : null);
/** A finding that is present, or that may be. */
const finding = (each) => ({ present: findingTitle(each), undetermined: `${findingTitle(each)}?` })[each.state];
