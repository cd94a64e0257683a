// One of the two places for pictures: its canvas, what stands on it, and the loading of preview and picture.

import { element } from "./elements.js";
import { edgeLetters, turnText } from "./orientation.js";
import { Ruler } from "./ruler.js";
import * as server from "./server.js";
import { text } from "./texts.js";
import { View } from "./view.js";
import { viewWords } from "./words.js";

const EDGES = ["left", "right", "top", "bottom"];

export class Pane {
  #asking = 0;
  #parts;
  magnifying = false;

  /** Fill `root`; `suffix` makes the ids unique. */
  constructor(root, suffix) {
    this.root = root;
    const named = (name, tag, more = {}) => element(tag, { id: name + suffix, ...more });
    this.#parts = {
      canvas: named("image", "canvas", { tabIndex: 0, role: "img", "aria-label": text("picture.radiograph"), "aria-describedby": `caption${suffix} turned${suffix} view${suffix}` }),
      waiting: named("waiting", "p", { className: "waiting", hidden: true, textContent: text("picture.loading") }),
      broken: named("broken", "div", { className: "broken", role: "alert", hidden: true }),
      caption: named("caption", "p", { className: "caption" }),
      preview: named("preview", "p", { className: "preview", role: "status", hidden: true }),
      turned: named("turned", "p", { className: "turned", role: "status", hidden: true }),
      length: named("length", "p", { className: "length", role: "status", hidden: true }),
      view: named("view", "p", { className: "view" }),
    };
    this.edges = Object.fromEntries(EDGES.map((edge) => [edge, element("span", { className: `edge ${edge}`, "aria-hidden": "true" })]));
    const words = element("div", { className: "marks" }, this.#parts.caption, this.#parts.preview, this.#parts.turned);
    const below = element("div", { className: "below" }, this.#parts.length, this.#parts.view);
    root.append(this.canvas, words, below, this.#parts.waiting, this.#parts.broken, ...Object.values(this.edges));
    this.view = new View(this.canvas);
    this.view.words = viewWords;
    this.ruler = new Ruler(this.view);
    this.view.above = (...drawing) => this.ruler.draw(...drawing);
    this.view.onDraw = () => this.#tell();
  }

  get canvas() {
    return this.#parts.canvas;
  }

  /** Show nothing. */
  clear() {
    this.#asking++;
    this.#empty("", false);
    this.#parts.waiting.hidden = true;
  }

  /**
   * Show the picture at `path` under `caption` (`other`: it is of another study): first a preview, which this waits
   * for, then all of it. Return true if it is on the screen.
   */
  async load(path, caption, other) {
    const asking = ++this.#asking;
    const isWanted = () => asking === this.#asking;
    this.#empty(caption, other);
    this.#parts.waiting.hidden = false;
    try {
      const preview = await server.image(`${path}/preview`);
      if (!isWanted()) return false;
      this.view.show(preview);
      this.ruler.forget();
      this.canvas.setAttribute("aria-label", text("picture.radiograph_of", { columns: String(preview.columns), rows: String(preview.rows) }));
      if (preview.level) this.#refine(path, isWanted);
      return true;
    } catch (error) {
      if (error.status !== 422 && error.status !== 404) throw error;
      if (isWanted()) this.#break(error.message);
      return false;
    } finally {
      if (isWanted()) this.#parts.waiting.hidden = true;
    }
  }

  async #refine(path, isWanted) {
    if (!isWanted()) return;
    this.#mark(text("picture.preview"));
    try {
      const whole = await server.image(path);
      if (!isWanted()) return;
      this.view.refine(whole);
      this.#mark("");
    } catch (error) {
      if (!(error instanceof server.Refused)) throw error;
      if (!isWanted()) return;
      const again = element("button", { type: "button" }, text("picture.again"));
      again.addEventListener("click", () => this.#refine(path, isWanted));
      this.#mark(text("picture.kept", { why: error.message }), again); // here, where no other message takes its place
    }
  }

  set caption(words) {
    this.#parts.caption.replaceChildren(element("bdi", {}, words));
    this.#parts.caption.hidden = !words;
  }

  #mark(words, ...more) {
    this.#parts.preview.replaceChildren(words, ...more);
    this.#parts.preview.hidden = !words;
  }

  #break(message) {
    this.#parts.broken.textContent = text("picture.broken", { why: message });
    this.#parts.broken.hidden = false;
  }

  #empty(caption, other) {
    this.view.show(null);
    this.#mark("");
    this.#parts.broken.hidden = true;
    this.caption = caption;
    this.root.classList.toggle("other", Boolean(other));
    this.canvas.setAttribute("aria-label", text("picture.radiograph"));
  }

  #tell() {
    const state = this.view.state;
    const { view, turned, length } = this.#parts;
    this.canvas.dataset.state = JSON.stringify(state);
    view.textContent = this.view.text;
    const said = this.view.image ? turnText(state) : "";
    if (turned.textContent !== said) turned.textContent = said;
    turned.hidden = !said;
    const letters = this.view.image ? edgeLetters(this.view.image.orientation, state) : {};
    for (const [edge, made] of Object.entries(this.edges)) made.textContent = letters[edge] ?? "";
    if (length.textContent !== this.ruler.text) length.textContent = this.ruler.text;
    length.hidden = !this.ruler.text;
  }
}
