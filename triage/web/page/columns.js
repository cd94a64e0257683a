// The columns of the list: what each shows of a study, and what the server can sort by.
//
// `open_by`: names of users who have the study open, as presence.js knows them.

import { claimant } from "./claim.js";
import { element } from "./elements.js";
import { siteLinks } from "./links.js";
import { ageOf, dateOf, duration, moment, nameOf, percent, plain, shortMoment, tag, ZONE } from "./words.js";

/** `sort`: the server's name of the order; `optional`: left out of the default columns while no study has a value, `shared`: unless users sign in. */
export const COLUMNS = {
  priority: { title: "Priority", cell: (each) => priority(each), className: "priority" },
  urgency: { title: "Urgency", sort: "urgency", cell: (each) => urgency(each.urgency), optional: true },
  tag: { title: "Tag", sort: "tag", cell: (each) => (each.tag ? tag(each.tag) : element("span", { className: "quiet" }, "No result yet")) },
  findings: { title: "Findings", text: (each) => (each.findings ?? []).map(finding).filter(Boolean).join(", "), className: "long", optional: true },
  open_by: { title: "Open at", text: (each) => (each.open_by ?? []).join(", "), className: "name", shared: true },
  claim: { title: "Claimed by", text: (each) => claimant(each.claim), className: "name", optional: true },
  patient_name: { title: "Patient", sort: "patient_name", text: (each) => nameOf(each.patient_name ?? ""), className: "name patient" },
  patient_id: { title: "ID", sort: "patient_id", text: (each) => each.patient_id, className: "name" },
  birth_date: { title: "Born", text: (each) => dateOf(each.birth_date ?? ""), className: "number", unasked: true },
  age: { title: "Age, sex", sort: "age", text: (each) => [ageOf(each.age_years), each.sex].filter(Boolean).join(" ") },
  study_description: { title: "Study", sort: "study_description", text: (each) => each.study_description, className: "name", optional: true },
  view: { title: "View", sort: "view", text: (each) => (each.view ?? "").replace("UNKNOWN", "?"), className: "name" },
  waiting: { title: "Waiting since arrival", sort: "arrived", since: (each) => each.received_at, className: "number waiting" },
  waiting_acquired: { title: "Waiting since acquisition", sort: "acquired", since: (each) => each.acquired_at, className: "number waiting", unasked: true },
  acquired: { title: `Acquired (${ZONE})`, sort: "acquired", text: (each) => shortMoment(each.acquired_at), hint: (each) => moment(each.acquired_at), className: "number" },
  location: { title: "Ward", sort: "location", text: (each) => each.location, className: "name", optional: true },
  referrer: { title: "Referrer", sort: "referrer", text: (each) => nameOf(each.referrer ?? ""), className: "name", optional: true },
  accession: { title: "Accession", sort: "accession", text: (each) => each.accession_number || "(none)", className: "name" },
  links: { title: "Open in", cell: (each) => element("span", {}, ...siteLinks(each.links)), optional: true },
  sender: { title: "From", sort: "sender", text: (each) => each.calling_ae_title, className: "name" },
  probability: { title: "Probability", text: (each) => percent(each.probability), className: "number", unasked: true },
  reasons: { title: "Reasons", text: (each) => [...(each.prior ? ["prior"] : []), ...(each.reasons ?? [])].map(plain).join(", "), className: "reasons" },
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
    const text = column.text(each) || "";
    made.append(element("bdi", {}, text));
    made.title = column.hint?.(each) ?? text;
  }
  return made;
}

export const waited = (since) => (since ? duration((Date.now() - Date.parse(since)) / 1000) : "");

function priority(each) {
  if (!each.priority) return null;
  const made = document.createDocumentFragment();
  made.append(element("span", { className: each.priority }, each.priority));
  if (each.past_cap) made.append(" ", element("span", { className: "late" }, "past cap"));
  return made;
}

const urgency = (name) => (name ? element("span", { className: `urgency ${name}` }, plain(name)) : null);
/** A finding that is present, or that may be. */
const finding = ({ title, name, state }) => ({ present: title || name, undetermined: `${title || name}?` })[state];
