// Readings. R marks the study that was on the screen when the key went down, as the result that was shown then; what the
// page shows meanwhile is never marked. Each press has an identity, so that a repeated request is one act.

import * as server from "./server.js";
import { text } from "./texts.js";

const EARLY_MS = 1000;

export const TEXTS = {
  early: text("reading.early"),
  changed: text("reading.changed"),
  noResult: text("reading.no_result"),
  already: text("reading.already"),
  read: (study) => text("reading.read", { study }),
  alsoRead: (names) => ` ${text("reading.also_read", { names })}`,
  undo: text("reading.undo"),
  back: (study) => text("reading.back", { study }),
  undone: (study) => text("reading.undone", { study }),
  stays: (study, names) => text("reading.stays", { study, names }),
};

export class Readings {
  #saving = new Map(); // by study: the act that is being saved, with what follows
  #ledAt = -Infinity;
  #leading = false;
  #shown = null; // the last result on the study's page

  /** The page goes to another study by itself. */
  leads() {
    this.#leading = true;
  }

  /** The other study has come up: a key that is pressed now was meant for the one before. */
  led() {
    this.#leading = false;
    this.#ledAt = performance.now();
  }

  /** A result is shown, of the study that the reader chose or not. */
  shown(uid, revision) {
    const isAnother = this.#shown?.uid === uid && this.#shown.revision !== revision;
    if (this.#leading || isAnother) this.led();
    this.#shown = { uid, revision };
  }

  /** The reader has chosen what is shown. */
  chosen() {
    this.#leading = false;
    this.#ledAt = -Infinity;
  }

  /** True if the reader cannot have seen the study when the key went down (`timeStamp` of the event). */
  isEarly(event) {
    return this.#leading || event.timeStamp < this.#ledAt + EARLY_MS;
  }

  /** Save an act and what follows it, once: a press while it is being saved is the same one. */
  once(uid, doing) {
    if (this.#saving.has(uid)) return this.#saving.get(uid);
    const saving = doing().finally(() => this.#saving.delete(uid));
    this.#saving.set(uid, saving);
    return saving;
  }

  isSaving(uid) {
    return this.#saving.has(uid);
  }
}

/** What is marked: a study, the revision of its result as it is shown, and its name for people; with a new identity. */
export const target = (entry) => ({
  uid: entry.study_instance_uid,
  revision: entry.revision,
  name: entry.accession_number || entry.study_instance_uid,
  press: crypto.getRandomValues(new Uint32Array(4)).join("-").padStart(16, "0"),
});

export const post = ({ uid }, body) => server.post(`/api/studies/${uid}/reading`, body);

/** The names of the readers whose readings hold, without `user`. */
export const othersOf = (readings, user) => [...new Set(readings.map((each) => each.who).filter((who) => who && who !== user))].join(", ");
