// The page of cases: disagreements, audits and ties, judged by another person than those who disagree.

import { Arrangement } from "./arrangement.js";
import { at, element } from "./elements.js";
import { attach } from "./gestures.js";
import { attachButtons, keyOf, moving, windowing } from "./keys.js";
import { chooseLanguage, followLanguage } from "./language.js";
import * as server from "./server.js";
import { showSession } from "./session.js";
import { run, toast } from "./telling.js";
import { parts, text } from "./texts.js";
import { countUnread } from "./unread.js";
import { View } from "./view.js";
import { findingTitle, moment, viewWords } from "./words.js";

const answer = (whole, label) => text(label === null ? "cases.undecided" : `answer.${whole ? (label ? "abnormal" : "normal") : label ? "present" : "absent"}`);

const arrangement = new Arrangement(); // of the list: the language is kept with it
const view = new View(at("image"));
view.words = viewWords;
let cases = [];
let open = null; // the case on the screen
let asking = 0;

// The list.

const keyOfCase = (each) => (each.case ? `tie/${each.study}/${each.case}` : `${each.study_instance_uid}/${each.finding}`);

async function load() {
  const found = await server.get("/api/adjudication");
  cases = [...found.cases, ...found.ties.map((each) => ({ ...each, finding: "", kinds: [], chosen_by: "tie", also: [] }))];
  const lapsed = found.lapsed && text("cases.lapsed", { count: found.lapsed });
  at("faults").replaceChildren(...[...found.faults, lapsed, found.further_studies && text("cases.further", { count: found.further_studies })].filter(Boolean).map((words) => element("p", { className: "warning" }, words)));
  list();
}

function list() {
  const wanted = at("which-cases").value;
  const shown = cases.filter((each) => Boolean(each.judgement) === (wanted === "judged"));
  at("cases").replaceChildren(...shown.map(item));
  at("nothing").hidden = shown.length > 0;
  at("nothing").textContent = text(`nothing.${wanted}`);
}

function item(each) {
  const button = element(
    "button",
    { type: "button", className: "case", "aria-current": String(Boolean(open) && keyOfCase(open) === keyOfCase(each)) },
    element("bdi", {}, titleOf(each)),
    element("span", { className: "quiet" }, [moment(each.since), ...waysOf(each)].filter(Boolean).join(", ")),
  );
  button.addEventListener("click", () => run(() => choose(each)));
  return element("li", {}, button);
}

const titleOf = (each) => (each.case ? text("cases.tie", { study: each.reader_study, why: each.why }) : each.finding ? findingTitle({ name: each.finding, title: each.title }) : text("disagree.whole"));

function waysOf(each) {
  const chosen = [each.chosen_by, ...each.also].filter((way) => way && way !== "disagreement").map((way) => text(`chosen.${way}`));
  return [...each.kinds.map((kind) => text(`kind.${kind}`)), ...chosen];
}

// A case.

async function choose(each) {
  const number = ++asking;
  open = each;
  list();
  view.show(null);
  at("images").replaceChildren();
  at("broken").hidden = true;
  const found = await fetched(each);
  if (number !== asking) return;
  open = { ...each, ...found.case };
  render();
  images(found.images);
}

async function fetched(each) {
  if (each.case) {
    const base = `/api/adjudication/ties/${each.study}/${each.case}`;
    return { case: await server.get(base), images: [`${base}/image`] };
  }
  const found = await server.get(`/api/adjudication/studies/${each.study_instance_uid}`);
  const known = found.cases.find((one) => one.finding === each.finding);
  if (!known) throw new server.Refused(404, text("nothing.open"));
  return { case: { ...known, shown: found.shown }, images: found.images.map((name) => `/api/studies/${each.study_instance_uid}/images/${name}`) };
}

function render() {
  const whole = !open.finding;
  at("question").replaceChildren(element("bdi", {}, whole ? text("cases.whole") : text("cases.present", { title: findingTitle({ name: open.finding, title: open.title }) })));
  at("about-case").textContent = [...waysOf(open), open.judged_before && text("cases.before"), !open.judgement && !open.statements && text("cases.blinded")].filter(Boolean).join(". ");
  at("yes").textContent = answer(whole, true);
  at("no").textContent = answer(whole, false);
  at("not-yours").hidden = open.may_judge;
  at("not-yours").textContent = text("cases.not_yours");
  at("judgement").hidden = !open.may_judge || Boolean(open.judgement);
  at("judgement").reset();
  at("said").replaceChildren(...said(whole));
}

function said(whole) {
  const word = (label) => (answer(whole, label === 1 ? true : label === 0 ? false : null));
  const lines = (open.statements ?? []).map((each) => line(each, each.against ? `said.against_${each.against}` : "said.plain", word(each.label), each.text));
  const answers = Object.entries(open.answers ?? {}).map(([who, label]) => line({ who }, "said.plain", word(label), ""));
  const judged = (open.judgements ?? [open.judgement].filter(Boolean)).map((each) => line(each, each.blinded ? "said.blindly" : "said.judged", word(each.label), each.reason));
  const result = open.model_label === undefined ? [] : [element("p", {}, text("cases.result", { word: word(open.model_label) }))];
  return [...judged, ...result, ...lines, ...answers];
}

function line({ at: when, who }, how, said, why) {
  const time = when ? [element("span", { className: "quiet" }, `${moment(when)}  `)] : [];
  return element("p", { className: "disagreement" }, ...time, ...parts(how, { who: element("bdi", {}, who), said }), ...(why ? [": ", element("bdi", {}, why)] : []));
}

// Images.

function images(paths) {
  const buttons = paths.map((path, index) => {
    const button = element("button", { type: "button" }, text("cases.image", { number: index + 1 }));
    button.addEventListener("click", () => run(() => image(path, button)));
    return button;
  });
  at("images").replaceChildren(...buttons);
  at("images").hidden = paths.length < 2;
  if (paths.length) return run(() => image(paths[0], buttons[0]));
  at("broken").textContent = text("cases.no_image");
  at("broken").hidden = false;
}

async function image(path, button) {
  const number = asking;
  for (const each of at("images").children) each.setAttribute("aria-pressed", String(each === button));
  at("waiting").hidden = false;
  at("broken").hidden = true;
  try {
    const found = await server.image(path);
    if (number !== asking) return;
    view.show(found);
    at("image").setAttribute("aria-label", text("picture.radiograph_of", { columns: String(found.columns), rows: String(found.rows) }));
  } catch (error) {
    if (error.status !== 422 && error.status !== 404) throw error;
    if (number !== asking) return;
    at("broken").textContent = error.message;
    at("broken").hidden = false;
  } finally {
    at("waiting").hidden = true;
  }
}

// The judgement.

async function judge() {
  const chosen = new FormData(at("judgement")).get("label");
  const label = chosen === "" ? null : chosen === "1";
  const reason = at("reason").value;
  const judged = open;
  at("judge").disabled = true; // a second press is the same act
  try {
    if (judged.case) await server.post(`/api/adjudication/ties/${judged.study}/${judged.case}`, { label, reason });
    else await server.post(`/api/adjudication/studies/${judged.study_instance_uid}`, { finding: judged.finding, label, reason, shown: judged.shown });
    toast(text("cases.saved"));
    await load();
    if (open === judged) await choose(cases.find((each) => keyOfCase(each) === keyOfCase(judged)) ?? judged);
  } catch (error) {
    if (error.status !== 409) throw error;
    toast(text("cases.changed")); // the images that count are others: what was written stays for the new ones
    if (open !== judged) return;
    await choose(judged);
    at("reason").value = reason;
  } finally {
    at("judge").disabled = false;
  }
}

async function session() {
  await showSession();
  await arrangement.load();
  followLanguage(arrangement.language);
}

const KEYS = { ...moving(view), f: () => view.fit(), 0: () => view.reset(), 1: () => view.actual(), i: () => view.invert() };
const SHIFTED = windowing(view);

view.onDraw = () => (at("view").textContent = view.text);
attach(at("image"), view);
attachButtons(view);
at("image").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = (event.shiftKey && SHIFTED[keyOf(event)]) || KEYS[keyOf(event)];
  if (!act) return;
  event.preventDefault();
  act();
});
at("which-cases").addEventListener("change", list);
at("judgement").addEventListener("submit", (event) => {
  event.preventDefault();
  run(judge);
});
chooseLanguage(arrangement, run);
countUnread();
run(session);
run(load);
