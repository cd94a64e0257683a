// One study: its image, its results, and the acts of the reader.

import { corrections, lastCorrection } from "./corrections.js";
import { at, element } from "./elements.js";
import { disagreements, disagreeing } from "./disagree.js";
import { siteLinks } from "./links.js";
import { modelsOf, notLookedFor } from "./model_figures.js";
import { OtherStudies } from "./other_studies.js";
import { Pictures } from "./pictures.js";
import * as server from "./server.js";
import { coded, parts, text } from "./texts.js";
import { dateOf, duration, findingTitle, fixed, isolated, moment, nameOf, ofServer, percent, reasonWord, stateWord, tag, tagWord, urgencyWord } from "./words.js";

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
    this.#pictures.isComplete = () => this.#others.isComplete;
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
    else this.#pictures.tell(text(this.#others.isComplete ? "others.no_pictures" : "others.not_known"));
  }

  get mapMissing() {
    return this.#pictures.mapMissing;
  }

  toggleMap() {
    return this.#pictures.toggleMap();
  }

  #render() {
    const { decision, read, label } = this.#found;
    at("read").setAttribute("aria-pressed", String(Boolean(read)));
    at("read").disabled = at("disagree").disabled = !decision;
    at("disagree").setAttribute("aria-pressed", String(label !== null));
    at("about").replaceChildren(
      this.#head(),
      ...section(text("study.findings"), this.#findings()),
      this.#others.element,
      ...section(text("study.disagreements"), decision ? disagreements(this) : []),
      ...section(text("study.meanings"), this.#meanings()),
      ...section(text("study.objects"), this.#found.objects.map((each) => this.#object(each))),
      ...section(text("study.corrections"), corrections(this.#found.corrections)),
      ...section(text("study.deliveries"), this.#deliveries()),
      ...section(text("study.history"), this.#found.history.map(result)),
      ...section(text("study.readers"), this.#found.acts.map(act)),
      ...section(text("study.pages"), (this.#found.pages ?? []).map((each) => element("p", {}, `${moment(each.at)}  ${text("study.page", { number: each.number, rota: coded("rota", each.rota, each.rota) })}`))),
    );
    this.#pictures.found = this.#found;
    this.onShow();
  }

  #head() {
    const { decision, patient, study_instance_uid: uid, read } = this.#found;
    const name = nameOf(patient.PatientName) || text("study.unknown_patient");
    const born = patient.PatientBirthDate && text("study.born", { date: dateOf(patient.PatientBirthDate) });
    const id = patient.PatientID ? identifier(patient) : [];
    const facts = [born, patient.PatientSex].filter(Boolean).map((fact, index) => (index || id.length ? `, ${fact}` : fact));
    return element(
      "div",
      { className: "head" },
      element("h2", { id: "patient" }, isolated(name)),
      element("p", { className: "quiet" }, ...id, ...facts),
      decision ? element("p", { className: "quiet", id: "scope" }, text("study.scope")) : null,
      decision ? this.#result(decision) : element("p", { className: "result" }, text("study.not_tagged")),
      lastCorrection(this.#found.corrections),
      read ? element("p", { className: "done" }, ...parts(read.act === "expired" ? "study.left" : "together.read", { who: isolated(read.who), when: moment(read.at) })) : null,
      element(
        "dl",
        { className: "facts" },
        ...fact(text("column.accession"), decision?.accession_number ? [isolated(decision.accession_number)] : text("column.none")),
        ...fact(text("study.label"), [patient.StudyDescription && isolated(patient.StudyDescription), dateOf(patient.StudyDate)].filter(Boolean).flatMap((each, index) => (index ? [", ", each] : [each]))),
        ...fact(text("study.received"), decision && text("study.ago", { when: moment(decision.received_at), time: since(decision.received_at) })),
        ...fact(text("study.uid"), uid),
        ...fact(text("column.links"), siteLinks(this.#found.links)),
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
    const { decision } = this.#found;
    if (!decision) return [];
    if (!decision.findings?.length) return [element("p", { className: "quiet", id: "looked-for" }, notLookedFor(decision))];
    const names = ["finding", "state", "score", "point", "urgency", ""];
    const head = element("tr", {}, ...names.map((name) => element("th", { scope: "col" }, name && text(`finding_head.${name}`))));
    return [
      element("p", { id: "urgency" }, text("study.urgency", { urgency: urgencyWord(decision.urgency) })),
      element("table", { id: "findings", className: "findings" }, element("thead", {}, head), element("tbody", {}, ...decision.findings.map(finding))),
      element("p", { className: "quiet", id: "looked-for" }, lookedFor(decision.findings)),
    ];
  }

  #meanings() {
    const { decision, meanings } = this.#found;
    const prior = decision?.prior
      ? [element("p", {}, element("b", {}, `${reasonWord("prior")}: `), text("study.prior"))]
      : [];
    return [...prior, ...Object.entries(meanings).map(([reason, sentence]) => element("p", {}, element("b", {}, `${reasonWord(reason)}: `), ofServer(sentence)))];
  }

  #object(each) {
    const image = each.assessment;
    const view = image && [image.modality, image.view, image.age_years === null ? null : text("study.years", { years: Math.round(image.age_years) })];
    const score = image?.probability ?? null;
    const facts = [
      image ? (image.shadow ? text("object.shadow", { tag: tagWord(image.tag) }) : tagWord(image.tag)) : text("object.no_result"),
      score === null ? "" : text("object.score", { score: fixed(score), point: image.operating_point ? fixed(image.operating_point) : "" }),
      image?.prevalence ? text("object.calibrated", { score: fixed(image.calibrated_probability), share: percent(image.prevalence) }) : "",
      ...(image?.findings ?? []).map(scoreOf),
      image?.detail,
      projection(image),
      each.waiting ? text("object.waits", { job: each.job }) : "",
      each.kept ? "" : text("object.gone"),
    ];
    return element(
      "div",
      { className: "item" },
      element("p", {}, (view ?? [text("object.object")]).filter(Boolean).join(", ")),
      element("p", { className: "quiet" }, facts.filter(Boolean).join("; ")),
      element("p", { className: "quiet" }, ...parts("object.from", { sender: isolated(each.calling_ae_title || text("object.unknown_sender")), when: moment(each.received_at) })),
      each.dead_letter ? this.#dead(each.dead_letter.key, text("object.given_up", { why: each.dead_letter.error })) : null,
    );
  }

  #deliveries() {
    const told = this.#found.deliveries.map((each) => {
      const last = each.tries.at(-1);
      return element(
        "div",
        { className: `item ${each.state}` },
        element("p", {}, text(each.correction ? "delivery.correction" : "delivery.line", { destination: each.destination, number: each.number, state: coded("delivery_state", each.state, each.state) })),
        last ? element("p", { className: "quiet" }, `${moment(last.at)}: ${[last.outcome, last.detail].filter(Boolean).join(", ")}`) : null,
        each.dead_letter ? this.#dead(each.dead_letter, "") : null,
      );
    });
    return [...told, ...this.#found.to_be_told.map((name) => element("p", {}, text("delivery.to_be_told", { name })))];
  }

  #dead(key, why) {
    const button = element("button", { type: "button", className: "requeue" }, text("page.again"));
    button.addEventListener("click", () =>
      this.run(async () => {
        await server.post("/api/requeue", { key });
        await this.refresh();
      }),
    );
    return element("p", { className: "dead" }, why ? `${why} ` : "", button);
  }
}

/** A row of the table: a finding of the study. */
function finding(each) {
  const score = each.probability === null ? "" : fixed(each.probability);
  const point = each.threshold === null ? "" : fixed(each.threshold) + (each.point ? ` (${each.point})` : "");
  const state = each.counts ? stateWord(each.state) : text("finding_of.not_counted", { state: stateWord(each.state) });
  const urgency = each.state === "present" && each.counts ? urgencyWord(each.urgency) : "";
  const cells = [state, score, point, urgency].map((shown) => element("td", {}, shown));
  return element("tr", { className: each.state }, element("th", { scope: "row", title: each.model_id }, findingTitle(each)), ...cells, element("td", {}, disagreeing(each.name, findingTitle(each))));
}

/** The words for a finding of one image. */
function scoreOf(each) {
  const used = each.assessed ? (each.positive ? "positive" : "negative") : "not_used";
  return text(`score_of.${used}`, { title: findingTitle(each), score: fixed(each.probability), point: fixed(each.threshold) });
}

function meter(decision, point) {
  const box = element("div", { className: "meter" });
  const bar = element("meter", { min: 0, max: 1, value: decision.probability, "aria-label": text("column.probability") });
  const shown = point === null ? percent(decision.probability) : text("study.probability", { probability: percent(decision.probability), point: percent(point) });
  box.append(bar, element("span", {}, shown));
  return box;
}

function result(each) {
  const score = each.probability === null ? text("study.not_scored") : fixed(each.probability);
  const words = [tagWord(each.tag), each.priority, score, ...each.reasons.map(reasonWord)];
  return element("p", {}, element("span", { className: "quiet" }, `${moment(each.tagged_at)}  `), words.join(", "));
}

const THROUGH = { report: "report", "early report": "early_report", ups: "ups", api: "api" };

function act(each) {
  const label = each.label === null ? "label_back" : each.label ? "label_abnormal" : "label_normal";
  const said = text(`act.${each.act === "label" ? label : each.act}`);
  const by = THROUGH[each.through] ? `${each.who ? " " : ""}(${text(`through.${THROUGH[each.through]}`)})` : "";
  const who = each.who || by ? [isolated(each.who), `${by}: `] : [];
  return element("p", {}, element("span", { className: "quiet" }, `${moment(each.at)}  `), ...who, said);
}

const FOUND = ["present", "absent", "undetermined"];

/** What was looked for with its state, and what was not assessed. */
function lookedFor(findings) {
  const found = findings.filter((each) => FOUND.includes(each.state)).map((each) => text("looked_for.finding", { title: findingTitle(each), state: stateWord(each.state) }));
  const missing = findings.filter((each) => !FOUND.includes(each.state)).map(findingTitle);
  const sentences = [
    found.length && text("looked_for.found", { findings: found.join(", ") }),
    missing.length && text("looked_for.missing", { findings: missing.join(", ") }),
    text("looked_for.nothing_else"),
  ];
  return sentences.filter(Boolean).join(" ");
}

/** The stated projection, and the one by the pixels; empty if it was not computed. */
function projection(image) {
  if (!image?.projection) return "";
  const [looks, certainty] = image.ap_share >= 0.5 ? ["AP", image.ap_share] : ["PA", 1 - image.ap_share];
  const stated = ["PA", "AP"].includes(image.view) ? text("projection.stated", { view: image.view }) : text("projection.not_stated");
  const shown = { stated, looks, certainty: fixed(Math.floor(certainty * 100) / 100, 2) };
  return text(image.view_contradicted ? "projection.contradicted" : "projection.seen", shown);
}

const section = (title, lines) => (lines.length ? [element("section", {}, element("h3", {}, title), ...lines)] : []);
const fact = (name, value) => (value?.length ? [element("dt", {}, name), element("dd", {}, ...[value].flat())] : []);
const identifier = ({ PatientID: id, IssuerOfPatientID: issuer }) => parts(issuer ? "study.id_of" : "study.id", { id: isolated(id), issuer: isolated(issuer ?? "") });
const since = (iso) => duration((Date.now() - Date.parse(iso)) / 1000);
