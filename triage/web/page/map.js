// The activation map over the image, requested at first use. It is off whenever a study is opened, so that
// the image is read first.

import { at } from "./elements.js";
import * as server from "./server.js";
import { text } from "./texts.js";
import { fixed } from "./words.js";

const STEP = 0.1;

export class ActivationMap {
  #view;
  #on = false;
  #wanted = null; // { uid, name } of the image on the screen
  #picture = null;

  constructor(view) {
    this.#view = view;
    at("opacity").addEventListener("input", () => this.#lay());
  }

  get on() {
    return this.#on;
  }

  switchOff() {
    this.#on = false;
    this.leave();
  }

  /** Remove the map together with the image. */
  leave() {
    this.#wanted = null;
    this.#picture = null;
    this.#tell();
  }

  /** Show the button where the site shows maps (`why` is a string, empty if the image has a map). */
  offer(why) {
    at("map").hidden = typeof why !== "string";
    at("map").title = why ? text("map.none", { why }) : text("map.hint");
    at("map").classList.toggle("none", Boolean(why));
  }

  /** The image is on the screen; if maps are switched on, so is its map. `score` is the score on the page. */
  async shown(uid, name, score) {
    this.#wanted = { uid, name };
    return this.#on ? this.#fetch(score).catch((error) => this.#failed(error)) : true;
  }

  /** Switch on or off; false if the score on the page is not that of the map, because the image was scored again. */
  async toggle(score) {
    this.#on = !this.#on;
    if (this.#on && this.#wanted && !this.#picture) return this.#fetch(score).catch((error) => this.#failed(error));
    this.#lay();
    return true;
  }

  fade(by) {
    if (!this.#on) return;
    at("opacity").valueAsNumber += by * STEP;
    this.#lay();
  }

  async #fetch(score) {
    const wanted = this.#wanted;
    const found = await server.get(`/api/studies/${wanted.uid}/images/${wanted.name}/map`);
    const content = Uint8Array.from(atob(found.picture), (character) => character.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([content], { type: "image/png" }));
    if (wanted !== this.#wanted) return true;
    this.#picture = picture;
    at("map-text").textContent = [
      text("map.about", { model: found.model_id, score: fixed(found.probability) }),
      text(found.strongest > 0 ? "map.no_outline" : "map.no_place"),
    ].join(" ");
    this.#lay();
    return found.probability === score.probability && found.model_id === score.model_id;
  }

  #failed(error) {
    this.#on = false;
    this.#tell();
    throw error;
  }

  #lay() {
    const over = this.#on ? this.#picture : null;
    this.#view.lay(over, at("opacity").valueAsNumber);
    this.#tell();
  }

  #tell() {
    at("map").setAttribute("aria-pressed", String(this.#on));
    at("map-legend").hidden = !(this.#on && this.#picture);
  }
}
