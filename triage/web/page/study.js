// One study: its image, its results, and the acts of the reader.

import { corrections, lastCorrection } from "./corrections.js";
import { at, element } from "./elements.js";
import { disagreements, disagreeing } from "./disagree.js";
import { siteLinks } from "./links.js";
import { modelsOf, notLookedFor } from "./model_figures.js";
import { OtherStudies } from "./other_studies.js";
import { Pictures } from "./pictures.js";
import * as server from "./server.js";
import { duration, isolated, moment, nameOf, percent, plain, tag } from "./words.js";

export class Study {
  #pictures;
  #others;
  #found = null;
  #asking = 0;

  /** Called when the results on the screen are others, or none. */
  onShow = () => {};

  /** `run` runs an action and shows its error; `open` opens a study by its UID. */
  constructor(run, open) {
    this.run = run;
    this.#pictures = new Pictures(run, () => this.refresh());
    this.#others = new OtherStudies(open, (study) => run(() => this.#pictures.nextTo(study)));
    this.#pictures.prior = () => this.#others.newest;
  }

  get pictures() {
    return this.#pictures;
  }

  /** The acts of the view that is chosen. */
  get view() {
    return this.#pictures.panes.target;
  }

  get uid() {
    return this.#found?.study_instance_uid ?? null;
  }

  get tagged() {
    return Boolean(this.#found?.decision);
  }

  get found() {
    return this.#found;
  }

  /** Show a study with its first image. */
  async open(uid) {
    this.close();
    await this.refresh(uid);
    if (!this.#found) return;
    await this.#pictures.open();
    if (uid === this.uid) this.#others.load(uid);
  }

  close() {
    this.#asking++;
    this.#found = null;
    this.#pictures.close();
    this.#others.clear();
    at("about").replaceChildren();
    this.onShow();
  }

  /** Fetch the results again; the image stays. */
  async refresh(uid = this.uid) {
    const asking = ++this.#asking;
    const found = await server.get(`/api/studies/${uid}`);
    if (asking !== this.#asking) return;
    this.#found = found;
    this.#render();
  }

  /** Show the newest other study next to this one. */
  showPrior() {
    const { newest } = this.#others;
    if (newest) this.run(() => this.#pictures.nextTo(newest));
    else this.#pictures.tell("There is no other study of this patient with pictures.");
  }

  get mapMissing() {
    return this.#pictures.mapMissing;
  }

  toggleMap() {
    return this.#pictures.toggleMap();
  }

  async say(label) {
    await server.post(`/api/studies/${this.uid}/label`, { label });
    await this.refresh();
  }

  #render() {
    const { decision, read, label } = this.#found;
    at("read").setAttribute("aria-pressed", String(Boolean(read)));
    at("read").disabled = at("disagree").disabled = !decision;
    at("disagree").setAttribute("aria-pressed", String(label !== null));
    at("about").replaceChildren(
      this.#head(),
      ...section("Findings", this.#findings()),
      this.#others.element,
      ...section("Disagreements", decision ? disagreements(this) : []),
      ...section("What it means", this.#meanings()),
      ...section("Objects", this.#found.objects.map((each) => this.#object(each))),
      ...section("Corrections", corrections(this.#found.corrections)),
      ...section("Deliveries", this.#deliveries()),
      ...section("Results, newest first", this.#found.history.map(result)),
      ...section("Readers", this.#found.acts.map(act)),
      ...section("Pages to the rota", (this.#found.pages ?? []).map((each) => element("p", {}, `${moment(each.at)}  page ${each.number}, ${each.rota} rota`))),
    );
    this.#pictures.found = this.#found;
    this.onShow();
  }

  #head() {
    const { decision, patient, study_instance_uid: uid, read } = this.#found;
    const name = nameOf(patient.PatientName) || "Patient unknown";
    const born = patient.PatientBirthDate && `born ${date(patient.PatientBirthDate)}`;
    const id = patient.PatientID ? identifier(patient) : [];
    const facts = [born, patient.PatientSex].filter(Boolean).map((text, index) => (index || id.length ? `, ${text}` : text));
    return element(
      "div",
      { className: "head" },
      element("h2", { id: "patient" }, isolated(name)),
      element("p", { className: "quiet" }, ...id, ...facts),
      decision ? element("p", { className: "quiet", id: "scope" }, decision.scope) : null,
      decision ? this.#result(decision) : element("p", { className: "result" }, "Not tagged yet"),
      lastCorrection(this.#found.corrections),
      read ? element("p", { className: "done" }, ...(read.act === "expired" ? ["Left the list by age"] : ["Read by ", isolated(read.who)]), `, ${moment(read.at)}`) : null,
      element(
        "dl",
        { className: "facts" },
        ...fact("Accession", decision?.accession_number ? [isolated(decision.accession_number)] : "(none)"),
        ...fact("Study", [patient.StudyDescription && isolated(patient.StudyDescription), date(patient.StudyDate)].filter(Boolean).flatMap((each, index) => (index ? [", ", each] : [each]))),
        ...fact("Received", decision && `${moment(decision.received_at)}, ${since(decision.received_at)} ago`),
        ...fact("UID", uid),
        ...fact("Open in", siteLinks(this.#found.links)),
      ),
    );
  }

  #result(decision) {
    const image = this.#found.objects.find((each) => decision.evidence.includes(each.sop_instance_uid))?.assessment;
    const point = image?.operating_point ?? null;
    return element(
      "div",
      { className: "result" },
      tag(decision.tag),
      element("span", { className: `priority ${decision.priority}` }, decision.priority),
      decision.probability === null ? null : meter(decision, point),
      ...modelsOf(this.#found, this.run),
    );
  }

  /** Each finding with its state, and what was looked for; none of a record before findings. */
  #findings() {
    const { decision, looked_for: lookedFor } = this.#found;
    if (!decision) return [];
    if (!decision.findings?.length) return [element("p", { className: "quiet", id: "looked-for" }, notLookedFor(decision))];
    const names = ["Finding", "State", "Score", "Positive from", "Urgency", ""];
    const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name)));
    return [
      element("p", { id: "urgency" }, `Urgency of findings: ${plain(decision.urgency)}.`),
      element("table", { id: "findings", className: "findings" }, element("thead", {}, head), element("tbody", {}, ...decision.findings.map(finding))),
      element("p", { className: "quiet", id: "looked-for" }, lookedFor.join(" ")),
    ];
  }

  #meanings() {
    const { decision, meanings } = this.#found;
    const prior = decision?.prior
      ? [element("p", {}, element("b", {}, "prior: "), "Its images were taken long before they came; it raises nothing.")]
      : [];
    return [...prior, ...Object.entries(meanings).map(([reason, text]) => element("p", {}, element("b", {}, `${plain(reason)}: `), text))];
  }

  #object(each) {
    const image = each.assessment;
    const view = image && [image.modality, image.view, image.age_years === null ? null : `${Math.round(image.age_years)} years`];
    const score = image?.probability ?? null;
    const parts = [
      image ? plain(image.tag).toLowerCase() + (image.shadow ? " (shadow: changes nothing)" : "") : "no result yet",
      score === null ? "" : `probability ${score.toFixed(3)}, abnormal from ${image.operating_point?.toFixed(3)}`,
      image?.prevalence ? `calibrated ${image.calibrated_probability.toFixed(3)} where ${percent(image.prevalence)} of the patients are abnormal` : "",
      ...(image?.findings ?? []).map(scoreOf),
      image?.detail,
      image?.projection ? image.projection + (image.view_contradicted ? ": compare View Position" : "") : "",
      each.waiting ? `waits; its job: ${each.job}` : "",
      each.kept ? "" : "no longer kept",
    ];
    return element(
      "div",
      { className: "item" },
      element("p", {}, (view ?? ["Object"]).filter(Boolean).join(", ")),
      element("p", { className: "quiet" }, parts.filter(Boolean).join("; ")),
      element("p", { className: "quiet" }, "from ", isolated(each.calling_ae_title || "unknown"), `, ${moment(each.received_at)}`),
      each.dead_letter ? this.#dead(each.dead_letter.key, `Given up: ${each.dead_letter.error}`) : null,
    );
  }

  #deliveries() {
    const told = this.#found.deliveries.map((each) => {
      const last = each.tries.at(-1);
      return element(
        "div",
        { className: `item ${each.state}` },
        element("p", {}, `${each.destination} ${each.number}: ${each.state}${each.correction ? ", a correction" : ""}`),
        last ? element("p", { className: "quiet" }, `${moment(last.at)}: ${[last.outcome, last.detail].filter(Boolean).join(", ")}`) : null,
        each.dead_letter ? this.#dead(each.dead_letter, "") : null,
      );
    });
    return [...told, ...this.#found.to_be_told.map((name) => element("p", {}, `${name}: waits to be told`))];
  }

  #dead(key, text) {
    const button = element("button", { type: "button", className: "requeue" }, "Try again");
    button.addEventListener("click", () =>
      this.run(async () => {
        await server.post("/api/requeue", { key });
        await this.refresh();
      }),
    );
    return element("p", { className: "dead" }, text ? `${text} ` : "", button);
  }
}

/** A row of the table: a finding of the study. */
function finding(each) {
  const score = each.probability === null ? "" : each.probability.toFixed(3);
  const point = each.threshold === null ? "" : each.threshold.toFixed(3) + (each.point ? ` (${each.point})` : "");
  const state = plain(each.state) + (each.counts ? "" : " (does not count)");
  const urgency = each.state === "present" && each.counts ? each.urgency : "";
  const cells = [state, score, point, urgency].map((text) => element("td", {}, text));
  return element("tr", { className: each.state }, element("th", { scope: "row", title: each.model_id }, each.title), ...cells, element("td", {}, disagreeing(each.name, each.title)));
}

/** The words for a finding of one image. */
function scoreOf(each) {
  const used = each.assessed ? (each.positive ? "positive" : "negative") : "not used";
  return `${each.title} ${each.probability.toFixed(3)} of ${each.threshold.toFixed(3)}: ${used}`;
}

function meter(decision, point) {
  const box = element("div", { className: "meter" });
  const bar = element("meter", { min: 0, max: 1, value: decision.probability, "aria-label": "Probability" });
  const text = point === null ? percent(decision.probability) : `${percent(decision.probability)} (abnormal from ${percent(point)})`;
  box.append(bar, element("span", {}, text));
  return box;
}

function result(each) {
  const score = each.probability === null ? "not scored" : each.probability.toFixed(3);
  const words = [plain(each.tag).toLowerCase(), each.priority, score, ...each.reasons.map(plain)];
  return element("p", {}, element("span", { className: "quiet" }, `${moment(each.tagged_at)}  `), words.join(", "));
}

const ACTS = {
  read: "read",
  unread: "put back on the list",
  expired: "left the list by age",
  outdated: "reported before the newest image came: stays on the list",
  in_doubt: "reported while this machine's clock was in doubt, or of a study of several patients: stays on the list",
};
const THROUGH = { report: "report message", "early report": "report message that came before the images", ups: "UPS workitem", api: "API" };

function act(each) {
  const said = each.act === "label" ? (each.label === null ? "took the label back" : `says ${each.label ? "abnormal" : "normal"}`) : ACTS[each.act];
  const by = THROUGH[each.through] ? `${each.who ? " " : ""}(${THROUGH[each.through]})` : "";
  const who = each.who || by ? [isolated(each.who), `${by}: `] : [];
  return element("p", {}, element("span", { className: "quiet" }, `${moment(each.at)}  `), ...who, said);
}

const section = (title, lines) => (lines.length ? [element("section", {}, element("h3", {}, title), ...lines)] : []);
const fact = (name, value) => (value?.length ? [element("dt", {}, name), element("dd", {}, ...[value].flat())] : []);
const date = (text) => (/^\d{8}$/.test(text) ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : text);
const identifier = ({ PatientID: id, IssuerOfPatientID: issuer }) => ["ID ", isolated(id), ...(issuer ? [" (issuer ", isolated(issuer), ")"] : [" (issuer not stated)"])];
const since = (iso) => duration((Date.now() - Date.parse(iso)) / 1000);
