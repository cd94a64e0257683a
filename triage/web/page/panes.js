// The one or two pictures on the screen, and the acts that change both while they are linked.

import { at } from "./elements.js";
import { attach } from "./gestures.js";
import { PRESETS } from "./presets.js";
import { Pane } from "./pane.js";

const TOGETHER = ["zoomIn", "zoomOut", "zoomBy", "fit", "actual", "pan", "rewindow", "invert", "reset", "preset"];
const ALONE = ["rotate", "flip"]; // what is on which side is a matter of one picture

/** The acts of a view, for one pane (or the chosen one) and while they are linked for both. */
class Target {
  constructor(panes, pane = null) {
    this.panes = panes;
    this.pane = pane;
  }
}
for (const name of TOGETHER) {
  Target.prototype[name] = function (...given) {
    for (const pane of this.panes.together(this.pane)) pane.view[name](...given);
    if (["rewindow", "reset", "preset"].includes(name)) this.panes.tellPreset(name === "reset" ? "opened" : name === "preset" ? given[0] : "");
  };
}
for (const name of ALONE) {
  Target.prototype[name] = function () {
    (this.pane ?? this.panes.chosen).view[name]();
  };
}

export class Panes {
  #panes;
  #chosen = 0;
  #ruling = false;
  #magnifying = false;
  linked = true;

  constructor() {
    this.#panes = ["", "-2"].map((suffix) => new Pane(at(`pane${suffix}`), suffix));
    this.target = new Target(this);
    for (const [index, pane] of this.#panes.entries()) {
      attach(pane.canvas, new Target(this, pane), this.#tool(pane));
      pane.canvas.addEventListener("focus", () => this.choose(index));
      pane.canvas.addEventListener("pointerleave", () => this.#magnifying && pane.view.magnify(null));
    }
  }

  get first() {
    return this.#panes[0];
  }

  get second() {
    return this.#panes[1];
  }

  /** The pane that keys and buttons act on. */
  get chosen() {
    return this.#panes[this.#chosen];
  }

  get chosenIndex() {
    return this.#chosen;
  }

  get isTwo() {
    return !this.second.root.hidden;
  }

  /** Show one picture or two. */
  setTwo(two) {
    this.second.root.hidden = !two;
    if (!two) this.second.clear();
    this.choose(two ? 1 : 0);
    at("two").setAttribute("aria-pressed", String(two));
    at("linked").hidden = at("swap").hidden = !two;
  }

  choose(index) {
    this.#chosen = this.isTwo ? index : 0;
    for (const [each, pane] of this.#panes.entries()) pane.root.classList.toggle("chosen", this.isTwo && each === this.#chosen);
    if (this.#ruling) this.#rule();
  }

  /** Choose the other picture. */
  swap() {
    if (!this.isTwo) return;
    this.choose(1 - this.#chosen);
    this.chosen.canvas.focus({ preventScroll: true });
  }

  link() {
    this.linked = !this.linked;
    at("linked").setAttribute("aria-pressed", String(this.linked));
  }

  /** Return the panes that an act on `pane` changes. */
  together(pane) {
    const own = pane ?? this.chosen;
    return this.isTwo && this.linked ? [own, ...this.#panes.filter((each) => each !== own)] : [own];
  }

  nextPreset() {
    const at_ = PRESETS.indexOf(at("preset").value);
    this.target.preset(PRESETS[(at_ + 1) % PRESETS.length]);
  }

  tellPreset(name) {
    at("preset").value = name;
  }

  get isRuling() {
    return this.#ruling;
  }

  /** Switch the ruler of the chosen picture on or off. */
  rule(on = !this.#ruling) {
    this.#ruling = on;
    if (on) this.magnify(false); // a line over a magnified part would lie elsewhere than it seems
    at("ruler").setAttribute("aria-pressed", String(on));
    this.#rule();
  }

  #rule() {
    for (const pane of this.#panes) pane.ruler.set(this.#ruling && pane === this.chosen);
  }

  magnify(on = !this.#magnifying) {
    this.#magnifying = on;
    if (on && this.#ruling) this.rule(false);
    at("magnifier").setAttribute("aria-pressed", String(on));
    const { clientWidth, clientHeight } = this.chosen.canvas;
    for (const pane of this.#panes) pane.view.magnify(on && pane === this.chosen ? { x: clientWidth / 2, y: clientHeight / 2 } : null);
  }

  /** Move an end of the ruler's line by CSS pixels; false if there is none. */
  nudge(end, dx, dy) {
    return this.chosen.ruler.nudge(end, dx, dy);
  }

  #tool(pane) {
    return {
      begin: (x, y) => {
        this.choose(this.#panes.indexOf(pane));
        return pane.ruler.begin(x, y);
      },
      drag: (x, y) => pane.ruler.drag(x, y),
      hover: (x, y) => this.#magnifying && pane.view.magnify({ x, y }),
    };
  }
}
