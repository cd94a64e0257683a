// D: the reader's own result of the study. It is of the result that was on the screen when the dialog came up.

import { at } from "./elements.js";
import { target } from "./reading.js";
import * as server from "./server.js";
import { text } from "./texts.js";

const SAID = new Map([[true, "label.noted_abnormal"], [false, "label.noted_normal"], [null, "label.taken_back"]]);

export class Labelling {
  #shown = null; // what is labelled: a study, and the revision of its result

  /** `study` is the study's view, `run` runs an action and shows its error, `toast` says what was done. */
  constructor(study, run, toast) {
    this.study = study;
    this.run = run;
    this.toast = toast;
    this.keys = { a: () => this.#say(true), n: () => this.#say(false), u: () => !at("say-nothing").hidden && this.#say(null) };
    at("say-abnormal").addEventListener("click", this.keys.a);
    at("say-normal").addEventListener("click", this.keys.n);
    at("say-nothing").addEventListener("click", this.keys.u);
    at("say-cancel").addEventListener("click", () => at("labelling").close());
  }

  open() {
    if (!this.study.tagged) return;
    const { label, decision } = this.study.found;
    this.#shown = target(decision);
    at("say-abnormal").setAttribute("aria-pressed", String(label === 1));
    at("say-normal").setAttribute("aria-pressed", String(label === 0));
    at("say-nothing").hidden = label === null;
    at("labelling").showModal();
    at(decision.tag === "ABNORMAL" ? "say-normal" : "say-abnormal").focus();
  }

  #say(label) {
    at("labelling").close();
    return this.run(() => this.#save(label, this.#shown));
  }

  async #save(label, { uid, revision }) {
    let told = SAID.get(label);
    try {
      await server.post(`/api/studies/${uid}/label`, { label, revision });
    } catch (error) {
      if (error.status !== 409) throw error;
      told = "label.changed";
    }
    if (this.study.uid === uid) await this.study.refresh();
    this.toast(text(told));
  }
}
