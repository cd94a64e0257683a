// Disagreements of readers on a study: what was said, and the dialog in which it is said.

import { at, element } from "./elements.js";
import { target } from "./reading.js";
import * as server from "./server.js";
import { parts, text } from "./texts.js";
import { findingTitle, moment } from "./words.js";

const says = (whole, label) => text(`says.${whole ? (label ? "abnormal" : "normal") : label ? "present" : "absent"}`);
const OTHER = "\u0000other"; // no finding has this name

let refresh = null;
let shown = null; // the disagreement is on this: a study, and the revision of its result
let draft = null; // what was written on a result that has changed since, for the new one

/** The lines of a study's disagreements, and the button for another one. */
export function disagreements(study) {
  return [...(study.found.disagreements ?? []).map(line), element("p", {}, disagreeing(null, ""))];
}

/** A button that opens the dialog for a finding; null for any. */
export function disagreeing(name, title) {
  const data = { type: "button", dataset: { disagree: name ?? "" } };
  if (name === null) return element("button", { ...data, className: "small" }, text("disagree.any"));
  const label = text("disagree.with", { title });
  return element("button", { ...data, className: "small sign", title: label, "aria-label": label });
}

function line(each) {
  const whole = !each.finding;
  const against = each.against === "reader" ? each.reader : text(`against.${each.against}`);
  const made = element(
    "p",
    { className: "disagreement" },
    element("span", { className: "quiet" }, `${moment(each.at)}  `),
    ...parts("disagree.line", {
      who: element("bdi", {}, each.who),
      against: element("bdi", {}, against),
      what: element("bdi", {}, whole ? text("disagree.whole") : findingTitle({ name: each.finding, title: each.title })),
      says: says(whole, each.label),
      why: element("bdi", {}, each.text),
    }),
    " ",
  );
  if (each.own) made.append(element("button", { type: "button", className: "small", dataset: { withdraw: String(each.number) } }, text("disagree.withdraw")));
  return made;
}

/** Connect the dialog and the buttons; `run` runs an action and shows its error, `toast` says what was done. */
export function attach(study, run, toast) {
  refresh = async (uid, message) => {
    toast(message);
    if (study.uid === uid) await study.refresh();
  };
  at("about").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.disagree !== undefined) open(study.found, button.dataset.disagree);
    if (button?.dataset.withdraw) run(() => withdraw(study.uid, button.dataset.withdraw));
  });
  at("say-finding").addEventListener("click", () => {
    at("labelling").close();
    open(study.found, study.found.decision.findings?.[0]?.name ?? "");
  });
  at("of-finding").addEventListener("change", fill);
  at("against").addEventListener("change", fill);
  at("disagreement-cancel").addEventListener("click", () => at("disagreeing").close());
  at("disagreement").addEventListener("submit", (event) => {
    event.preventDefault();
    save(shown);
  });
}

function open(found, name) {
  const findings = found.decision.findings ?? [];
  shown = target(found.decision);
  const options = [["", text("disagree.whole")], ...findings.map((each) => [each.name, findingTitle(each)]), [OTHER, text("disagree.other")]];
  at("of-finding").replaceChildren(...options.map(option));
  at("of-finding").value = name;
  at("against").replaceChildren(...["model", "report", "reader"].map((each) => option([each, text(`side.${each}`)])));
  const readers = [...new Set(found.acts.map((each) => each.who).filter(Boolean))];
  at("readers-here").replaceChildren(...readers.map((value) => element("option", { value })));
  for (const id of ["why", "other-finding", "contradicted"]) at(id).value = "";
  if (draft?.uid === shown.uid) at("why").value = draft.why;
  draft = null;
  at("disagreement-wrong").hidden = true;
  const state = findings.find((each) => each.name === name)?.state;
  fill();
  at("says").value = (name ? state === "present" : found.decision.tag === "ABNORMAL") ? "0" : "1";
  at("disagreeing").showModal();
  at(name ? "why" : "of-finding").focus();
}

/** Show the fields that belong to the chosen finding and side. */
function fill() {
  const [name, said] = [at("of-finding").value, at("says").value];
  at("says").replaceChildren(...[true, false].map((label) => option([label ? "1" : "0", says(!name, label)])));
  if (said) at("says").value = said;
  at("other-label").hidden = name !== OTHER;
  at("other-finding").required = name === OTHER;
  at("reader-label").hidden = at("against").value !== "reader";
  at("contradicted").required = at("against").value === "reader";
}

async function save({ uid, revision }) {
  const [name, against] = [at("of-finding").value, at("against").value];
  const body = {
    against,
    revision,
    label: at("says").value === "1",
    text: at("why").value,
    ...(name === OTHER ? { other: at("other-finding").value } : { finding: name }),
    ...(against === "reader" ? { reader: at("contradicted").value } : {}),
  };
  at("disagreement-save").disabled = true; // a second press is the same act
  try {
    await server.post(`/api/studies/${uid}/disagreements`, body);
    at("disagreeing").close();
    await refresh(uid, text("disagree.saved"));
  } catch (error) {
    if (!(error instanceof server.Refused)) throw error;
    if (error.status === 409) return await renew(uid, body.text);
    at("disagreement-wrong").textContent = error.message;
    at("disagreement-wrong").hidden = false;
  } finally {
    at("disagreement-save").disabled = false;
  }
}

/** The result has changed: show the new one, and keep what was written. */
async function renew(uid, why) {
  at("disagreeing").close();
  draft = { uid, why };
  await refresh(uid, text("label.changed"));
}

async function withdraw(uid, number) {
  await server.post(`/api/studies/${uid}/disagreements/${number}/withdrawal`, {});
  await refresh(uid, text("disagree.withdrawn"));
}

const option = ([value, word]) => element("option", { value }, word);
