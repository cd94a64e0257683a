// Other studies of the patient: their results and dates, to be opened, or put next to the picture on the screen.

import { element } from "./elements.js";
import * as server from "./server.js";
import { counted, dateOf, moment, plain, tag } from "./words.js";

const TITLE = "Other studies of this patient";
const WHY_NONE = {
  no_id: "The images state no Patient ID: other studies cannot be found.",
  several_patients: "The images are of several patients: no other studies are shown.",
  no_one_s_id: "Too many studies bear this Patient ID for it to be one patient's: none is shown.",
};
const LEFT_OUT = {
  contradicted: (count) => `${counted(count, "study", "studies")} with this ID of another name or birth date, or of several patients: not shown.`,
  ambiguous: (count) => `${counted(count, "study", "studies")} with this ID without issuer, which several issuers use: not shown.`,
};
const TEXTS = {
  none: "No other study with this Patient ID and issuer is kept here.",
  unsure: "Patient ID without issuer: may be another hospital's patient",
  undated: "no date",
  looking: "Studies are still being read; there may be others.",
  again: "Look again",
  open: "Open",
  nextTo: "Next to it",
  more: (count) => `${counted(count, "older study", "older studies")} not shown.`,
  reading: "Looking for other studies…",
};

export class OtherStudies {
  element = element("section", { id: "other-studies", hidden: true });
  #asking = 0;
  #found = null;

  /** `open` opens a study, `nextTo` shows one next to the picture. */
  constructor(open, nextTo) {
    this.open = open;
    this.nextTo = nextTo;
  }

  /** The newest study that has pictures; those of the patient for sure come first. Null if there is none. */
  get newest() {
    const shown = (this.#found?.studies ?? []).filter((each) => each.images.length);
    return shown.find((each) => each.match === "issuer") ?? shown[0] ?? null;
  }

  clear() {
    this.#asking++;
    this.#found = null;
    this.element.hidden = true;
    this.element.replaceChildren();
  }

  /** Load them; what goes wrong is said in their place, where it hides no other message. */
  async load(uid) {
    const asking = ++this.#asking;
    this.#show([element("p", { className: "quiet" }, TEXTS.reading)]);
    const lines = await this.#asked(uid, asking);
    if (asking !== this.#asking) return;
    if (lines) this.#show(lines);
    else this.clear();
  }

  /** Return what is shown; null if no image was assessed yet. */
  async #asked(uid, asking) {
    try {
      const found = await server.get(`/api/studies/${uid}/patient`);
      if (asking === this.#asking) this.#found = found;
      return this.#lines(found, uid);
    } catch (error) {
      if (!(error instanceof server.Refused)) throw error;
      if (error.status === 404) return null;
      return [element("p", { className: "warning" }, error.message), this.#again(uid)];
    }
  }

  #show(lines) {
    this.element.hidden = false;
    this.element.replaceChildren(element("h3", {}, TITLE), ...lines);
  }

  #lines(found, uid) {
    const quiet = (text) => element("p", { className: "quiet" }, text);
    if (found.why_none) return [quiet(WHY_NONE[found.why_none])];
    const lines = found.studies.map((each) => this.#study(each));
    if (!lines.length && found.complete) lines.push(quiet(TEXTS.none));
    for (const [why, count] of Object.entries(found.left_out)) lines.push(quiet(LEFT_OUT[why](count)));
    if (found.more) lines.push(quiet(TEXTS.more(found.more)));
    if (!found.complete) lines.push(quiet(TEXTS.looking), this.#again(uid));
    return lines;
  }

  #again(uid) {
    return this.#button(TEXTS.again, "", () => this.load(uid));
  }

  #study(each) {
    const date = dateOf(each.study_date) || TEXTS.undated;
    const findings = (each.findings ?? []).filter(({ state }) => state === "present").map(({ title, name }) => title || name);
    const views = [...new Set(each.images.map(({ view }) => view).filter((view) => view && view !== "UNKNOWN"))].join(", ");
    const about = [each.study_description, views, findings.join(", "), each.read ? "read" : "not read here"].filter(Boolean);
    return element(
      "div",
      { className: "item other-study" },
      element("p", { title: moment(each.acquired_at) }, element("b", {}, date), " ", tag(each.tag), ` ${plain(each.priority)}`),
      element("p", { className: "quiet" }, element("bdi", {}, about.join("; "))),
      each.match === "id_alone" ? element("p", { className: "warning" }, TEXTS.unsure) : null,
      element(
        "p",
        { className: "answers" },
        this.#button(TEXTS.open, date, () => this.open(each.study_instance_uid)),
        each.images.length ? this.#button(TEXTS.nextTo, date, () => this.nextTo(each)) : null,
      ),
    );
  }

  #button(text, about, act) {
    const button = element("button", { type: "button" }, text);
    if (about) button.setAttribute("aria-label", `${text}: ${about}`);
    button.addEventListener("click", act);
    return button;
  }
}
