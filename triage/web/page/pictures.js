// The pictures of the open study, and of another one next to them.

import { at, element } from "./elements.js";
import { ActivationMap } from "./map.js";
import { Panes } from "./panes.js";
import { text } from "./texts.js";
import { dateOf } from "./words.js";

/** The words for an object: modality and view, where they are known. */
export const nameOfImage = ({ modality, view } = {}) => [modality, view].filter((word) => word && word !== "UNKNOWN").join(" ");

const pathOf = (uid, name) => `/api/studies/${uid}/images/${name}`;

export class Pictures {
  #run;
  #found = null;
  #shown = [null, null]; // { uid, name } in each pane

  /** `run` runs an action and shows its error; `renew` fetches the study's results again. */
  constructor(run, renew) {
    this.#run = run;
    this.#renew = renew;
    this.panes = new Panes();
    this.map = new ActivationMap(this.panes.first.view);
    at("preset").addEventListener("change", () => at("preset").value && this.panes.target.preset(at("preset").value));
    for (const [id, act] of Object.entries({ two: () => this.toggleTwo(), linked: () => this.panes.link(), swap: () => this.panes.swap() })) {
      at(id).addEventListener("click", act);
    }
    at("ruler").addEventListener("click", () => this.panes.rule());
    at("magnifier").addEventListener("click", () => this.panes.magnify());
  }

  #renew;

  /** Called with what a reader should know. */
  tell = () => {};

  /** Return the newest other study that has pictures, or null. */
  prior = () => null;

  /** Return true if all other studies were found. */
  isComplete = () => true;

  /** The results of the open study; null if it is closed. */
  set found(found) {
    this.#found = found;
    if (found) this.#render();
  }

  /** Show the first picture of the study. */
  async open() {
    const first = this.#ordered()[0];
    if (first) await this.show(first.name, 0);
  }

  close() {
    this.#found = null;
    this.#shown = [null, null];
    this.map.switchOff();
    this.panes.magnify(false);
    this.panes.rule(false);
    this.panes.setTwo(false);
    this.panes.first.clear();
    this.panes.tellPreset("opened");
    at("images").replaceChildren();
  }

  /** Show a picture of the study in a pane, by default the chosen one. */
  async show(name, pane = this.panes.chosenIndex) {
    const uid = this.#found.study_instance_uid;
    this.#shown[pane] = { uid, name };
    this.#render();
    const shown = this.#found.objects.find((each) => each.name === name)?.assessment;
    const caption = [text("pictures.own"), dateOf(this.#found.patient.StudyDate), nameOfImage(shown ?? {})].filter(Boolean).join(", ");
    await this.#load(pane, uid, name, this.panes.isTwo ? caption : "", false);
  }

  /** Show the first picture of another study of the patient next to the one on the screen. */
  async nextTo(study) {
    const [image] = study.images;
    if (!image) return;
    this.panes.setTwo(true);
    this.#captionFirst();
    const { study_instance_uid: uid, study_date: date, match } = study;
    this.#shown[1] = { uid, name: image.name };
    this.#render();
    const words = [text("pictures.other"), dateOf(date), nameOfImage(image), match === "id_alone" && text("pictures.unsure")];
    await this.#load(1, uid, image.name, words.filter(Boolean).join(", "), true);
  }

  toggleTwo() {
    if (this.panes.isTwo) return this.#one();
    const others = this.#ordered().filter((each) => each.name !== this.#shown[0]?.name);
    if (others.length) {
      this.panes.setTwo(true);
      this.#captionFirst();
      return this.#run(() => this.show(others[0].name, 1));
    }
    const prior = this.prior();
    if (prior) return this.#run(() => this.nextTo(prior));
    return this.tell(text(this.isComplete() ? "pictures.alone" : "others.not_known"));
  }

  next() {
    const names = this.#ordered().map((each) => each.name);
    const now = this.#shown[this.panes.chosenIndex]?.name;
    if (names.length > 1) this.#run(() => this.show(names[(names.indexOf(now) + 1) % names.length]));
  }

  /** Return why the first picture has no activation map; empty if it has one, undefined where the site shows none. */
  get mapMissing() {
    return this.#found?.maps?.[this.#shown[0]?.name];
  }

  async toggleMap() {
    await this.#checked(this.map.toggle(this.#score()));
  }

  #one() {
    this.panes.setTwo(false);
    this.#shown[1] = null;
    this.panes.first.caption = "";
    this.#render();
  }

  #captionFirst() {
    const shown = this.#found.objects.find((each) => each.name === this.#shown[0]?.name)?.assessment;
    this.panes.first.caption = [text("pictures.own"), dateOf(this.#found.patient.StudyDate), nameOfImage(shown ?? {})].filter(Boolean).join(", ");
  }

  async #load(pane, uid, name, caption, other) {
    if (pane === 0) this.map.leave();
    const place = pane ? this.panes.second : this.panes.first;
    const drawn = await place.load(pathOf(uid, name), caption, other);
    if (drawn && pane === 0 && this.#shown[0]?.name === name) await this.#withMap(uid, name);
  }

  async #withMap(uid, name) {
    if (this.mapMissing) this.map.switchOff();
    await this.#checked(this.map.shown(uid, name, this.#score()));
  }

  #score() {
    return this.#found.objects.find((each) => each.name === this.#shown[0]?.name)?.assessment;
  }

  /** The map is of a newer score than the page shows: fetch the results again. */
  async #checked(laid) {
    if (!(await laid)) await this.#renew();
  }

  /** Sort the objects: the evidence of the tag, then other scored ones, then the rest; each by arrival. */
  #ordered() {
    const evidence = new Set(this.#found?.decision?.evidence ?? []);
    const rank = (each) => (evidence.has(each.sop_instance_uid) ? 0 : each.assessment?.counts ? 1 : 2);
    return (this.#found?.objects ?? []).filter((each) => each.kept).sort((a, b) => rank(a) - rank(b));
  }

  #render() {
    const objects = this.#ordered();
    const shown = new Set(this.#shown.map((each) => each?.name));
    at("images").replaceChildren(
      ...objects.map((each, index) => {
        const name = nameOfImage(each.assessment ?? {}) || text("pictures.object", { number: index + 1 });
        const button = element("button", { type: "button", "aria-pressed": String(shown.has(each.name)) }, name);
        button.addEventListener("click", () => this.#run(() => this.show(each.name)));
        return button;
      }),
    );
    at("images").hidden = objects.length < 2;
    this.map.offer(this.mapMissing);
  }
}
