// What others do with the study that is open here: who has it open too, who has read it, whether its result has changed.

import { at, element } from "./elements.js";
import * as server from "./server.js";
import { parts, text } from "./texts.js";
import { moment } from "./words.js";

export class Together {
  #standing = null;
  #asking = 0;

  /** `study` is the study's view, `presence` who has what open, `claim` who holds it; `refresh` shows the new result. */
  constructor(study, presence, claim, refresh) {
    this.study = study;
    this.claim = claim;
    this.presence = presence;
    at("together-show").textContent = text("together.show");
    at("together-show").addEventListener("click", refresh);
  }

  /** The study was shown: what is said of it is what the page shows. */
  shown() {
    this.#asking++;
    const { found } = this.study;
    this.#standing = found && { ...found, revision: found.decision?.revision ?? "" };
    this.render();
  }

  /** The list has changed: ask what is said of the open study. */
  async ask() {
    const { uid } = this.study;
    const asking = ++this.#asking;
    if (!uid) return;
    try {
      const standing = await server.get(`/api/studies/${uid}/standing`);
      if (asking === this.#asking && uid === this.study.uid) this.#standing = standing;
    } catch (error) {
      if (!(error instanceof server.Refused)) throw error; // the page itself says that the server does not answer
    }
    this.render();
  }

  /** True if the study has left the list, as last heard of. */
  get isRead() {
    return Boolean(this.#standing?.read);
  }

  /** The readings that hold, as last heard of. */
  get readings() {
    return this.#standing?.readings ?? [];
  }

  render() {
    const { found, uid } = this.study;
    const others = uid ? this.presence.at(uid).map((name) => this.#name(name)) : [];
    put("together-open", others.length ? [`${text("together.open")} `, ...names(others)] : uid && !this.presence.known ? [text("together.unknown")] : []);
    const readers = this.readings.filter((each) => each.who !== this.presence.user);
    put("together-read", readers.flatMap((each, index) => [index ? "; " : "", ...parts(index ? "together.too" : "together.read", { who: element("bdi", {}, each.who || text("claim.system")), when: moment(each.at) })]));
    const changed = Boolean(found && this.#standing && this.#standing.revision !== (found.decision?.revision ?? ""));
    put("together-changed", changed ? [text("together.changed")] : []);
    at("together-show").hidden = !changed;
    this.claim.show(uid, this.#standing?.claim, Boolean(found?.decision));
    at("put-back").hidden = !this.#standing?.read;
    at("read").setAttribute("aria-pressed", String(Boolean(this.#standing?.read)));
  }

  #name(user) {
    return user === this.presence.user ? text("together.here") : user;
  }
}

const names = (found) => found.flatMap((name, index) => [index ? ", " : "", element("bdi", {}, name)]);

/** Put words into a line; a line without words is not there. A line that is the same is not said again. */
function put(id, words) {
  const made = element("p", {}, ...words);
  if (at(id).innerHTML !== made.innerHTML) at(id).replaceChildren(...made.childNodes);
  at(id).hidden = !words.length;
}
