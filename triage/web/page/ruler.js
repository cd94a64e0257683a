// A length between two points of the image, with what it means; none where the object does not say what a pixel is.

import { text } from "./texts.js";
import { fixed } from "./words.js";

const COLOUR = "#ffd166";

export class Ruler {
  #view;
  #on = false;
  #from = null; // points of the image
  #to = null;

  /** `view` shows the image. */
  constructor(view) {
    this.#view = view;
  }

  get on() {
    return this.#on;
  }

  /** Switch on with a line in the middle of the canvas, or off. */
  set(on) {
    this.#on = on;
    if (on && this.isPossible) this.#place();
    this.#view.redraw();
  }

  /** Forget the line: another image is shown. */
  forget() {
    this.#from = this.#to = null;
    if (this.#on && this.isPossible) this.#place();
  }

  get isPossible() {
    return Boolean(this.#view.image?.ruler?.spacing);
  }

  /** The length with its meaning, or why there is none. */
  get text() {
    const stated = this.#view.image?.ruler;
    if (!this.#on || !stated) return "";
    if (!stated.spacing) return text("ruler.none", { why: text(`no_ruler.${stated.why_none}`) });
    return text("ruler.length", { length: this.#millimetres(stated.spacing), meaning: text(`ruler_means.${stated.meaning}`) });
  }

  /** Begin a line at a point of the canvas in CSS pixels; false if the drag is not the ruler's. */
  begin(x, y) {
    if (!this.#on || !this.isPossible) return false;
    this.#from = this.#to = this.#view.pointAt(x, y);
    this.#view.redraw();
    return true;
  }

  drag(x, y) {
    this.#to = this.#view.pointAt(x, y);
    this.#view.redraw();
  }

  /** Move an end of the line by CSS pixels on the screen; false if there is none. */
  nudge(end, dx, dy) {
    if (!this.#on || !this.#from) return false;
    const [origin, moved] = [this.#view.pointAt(0, 0), this.#view.pointAt(dx, dy)];
    const step = ({ x, y }) => ({ x: x + moved.x - origin.x, y: y + moved.y - origin.y });
    if (end === "to") this.#to = step(this.#to);
    else this.#from = step(this.#from);
    this.#view.redraw();
    return true;
  }

  /** Draw the line; `place` returns the point of the canvas of a point of the image. */
  draw(context, place, ratio) {
    if (!this.#on || !this.#from) return;
    const [from, to] = [place(this.#from), place(this.#to)];
    for (const [colour, width] of [["#000", 4], [COLOUR, 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * ratio;
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(to.x, to.y);
      for (const { x, y } of [from, to]) {
        context.moveTo(x + 5 * ratio, y);
        context.arc(x, y, 5 * ratio, 0, 2 * Math.PI);
      }
      context.stroke();
    }
  }

  #place() {
    const { rows, columns } = this.#view.image;
    this.#from = { x: columns * 0.4, y: rows / 2 };
    this.#to = { x: columns * 0.6, y: rows / 2 };
  }

  #millimetres([rows, columns]) {
    const length = Math.hypot((this.#to.x - this.#from.x) * columns, (this.#to.y - this.#from.y) * rows);
    return fixed(length, length < 100 ? 1 : 0);
  }
}
