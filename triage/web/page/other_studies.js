// Other studies of the patient: their results and dates, to be opened, or put next to the picture on the screen.

import { element } from "./elements.js";
import * as server from "./server.js";
import { text } from "./texts.js";
import { dateOf, findingTitle, moment, tag } from "./words.js";

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

  /** True if all other studies were found: "there is none" may be said. */
  get isComplete() {
    return Boolean(this.#found?.complete || this.#found?.why_none);
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
    this.#show([element("p", { className: "quiet" }, text("others.reading"))]);
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
    this.element.replaceChildren(element("h3", {}, text("others.title")), ...lines);
  }

  #lines(found, uid) {
    const quiet = (words) => element("p", { className: "quiet" }, words);
    if (found.why_none) return [quiet(text(`why_none.${found.why_none}`))];
    const lines = found.studies.map((each) => this.#study(each));
    if (!lines.length && found.complete) lines.push(quiet(text("others.none")));
    for (const [why, count] of Object.entries(found.left_out)) lines.push(quiet(text(`left_out.${why}`, { count })));
    if (found.more) lines.push(quiet(text("others.more", { count: found.more })));
    if (!found.complete) lines.push(quiet(text("others.looking")), this.#again(uid));
    return lines;
  }

  #again(uid) {
    return this.#button(text("others.again"), "", () => this.load(uid));
  }

  #study(each) {
    const date = dateOf(each.study_date) || text("others.undated");
    const findings = (each.findings ?? []).filter(({ state }) => state === "present").map(findingTitle);
    const views = [...new Set(each.images.map(({ view }) => view).filter((view) => view && view !== "UNKNOWN"))].join(", ");
    const about = [each.study_description, views, findings.join(", "), text(each.read ? "others.read" : "others.not_read")].filter(Boolean);
    return element(
      "div",
      { className: "item other-study" },
      element("p", { title: moment(each.acquired_at) }, element("b", {}, date), " ", tag(each.tag), ` ${each.priority}`),
      element("p", { className: "quiet" }, element("bdi", {}, about.join("; "))),
      each.match === "id_alone" ? element("p", { className: "warning" }, text("others.unsure")) : null,
      element(
        "p",
        { className: "answers" },
        this.#button(text("others.open"), date, () => this.open(each.study_instance_uid)),
        each.images.length ? this.#button(text("others.next_to"), date, () => this.nextTo(each)) : null,
      ),
    );
  }

  #button(word, about, act) {
    const button = element("button", { type: "button" }, word);
    if (about) button.setAttribute("aria-label", `${word}: ${about}`);
    button.addEventListener("click", act);
    return button;
  }
}
