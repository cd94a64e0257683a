// One image on a canvas: window, zoom, pan and turns. The values keep their full depth; the window makes greys of them.

import { Greys, GreyTable } from "./greys.js";
import { drawIn, flipped, partIn, rotated, toCanvas, toImage, unturned, upright, zoomedAt } from "./placement.js";
import { windowOf } from "./presets.js";
import { Pyramid } from "./pyramid.js";

const LARGEST_ZOOM = 16;
const SMALLEST_ZOOM = 0.25; // of that which fits the screen
const MAGNIFIED = 2.5;
const MAGNIFIER = 120; // its radius, in CSS pixels

export class View {
  #canvas;
  #context;
  #image = null;
  #pyramid = null;
  #greys = new Greys();
  #magnifiedGreys = new Greys();
  #table = new GreyTable();
  #window = { level: 0.5, width: 1, rising: true };
  #placement = upright();
  #overlay = null; // { picture, opacity }
  #magnifier = null; // its middle, in canvas pixels
  #fitted = true;
  #awaited = false;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /** Show an image (content, rows, columns, black, white) with its default view; null shows none. */
  show(image) {
    this.#hold(image);
    this.#overlay = null;
    this.reset();
    this.#draw();
  }

  /** Show the same image in more detail; window and view stay. */
  refine(image) {
    this.#hold(image);
    this.#draw();
  }

  #hold(image) {
    this.#image = image;
    this.#pyramid = image && new Pyramid(image.content, image.level);
  }

  get image() {
    return this.#image;
  }

  /** Overlay a picture of any size on the whole image; null removes it. */
  lay(picture, opacity = 1) {
    this.#overlay = picture && { picture, opacity };
    this.#draw();
  }

  reset() {
    if (!this.#image) return;
    this.#placement = upright();
    this.#window.rising = this.#image.white >= this.#image.black;
    this.preset("opened");
    this.fit();
  }

  /** Change the window to a preset by name; what is bright stays bright. */
  preset(name) {
    if (!this.#image) return;
    Object.assign(this.#window, windowOf(name, this.#image, this.#pyramid));
    this.#draw();
  }

  fit() {
    if (!this.#image) return;
    this.#fitted = true;
    this.#placement = { ...this.#placement, zoom: this.#fitting(), centre: { x: this.#image.columns / 2, y: this.#image.rows / 2 } };
    this.#draw();
  }

  actual() {
    this.zoomTo(1);
  }

  zoomIn() {
    this.zoomTo(this.#placement.zoom * 1.25);
  }

  zoomOut() {
    this.zoomTo(this.#placement.zoom / 1.25);
  }

  /** Zoom by a factor, keeping the point of the image at (x, y) of the canvas, in CSS pixels, where it is. */
  zoomBy(factor, x, y) {
    const ratio = this.#ratio();
    this.zoomTo(this.#placement.zoom * factor, { x: x * ratio, y: y * ratio });
  }

  zoomTo(zoom, held = { x: this.#canvas.width / 2, y: this.#canvas.height / 2 }) {
    if (!this.#image) return;
    this.#fitted = false;
    const smallest = Math.min(this.#fitting() * SMALLEST_ZOOM, 1);
    const bounded = Math.min(Math.max(zoom, smallest), Math.max(LARGEST_ZOOM, this.#fitting()));
    this.#placement = zoomedAt(this.#placement, this.#canvas, held, bounded);
    this.#keepInside();
    this.#draw();
  }

  /** Move the image by CSS pixels. */
  pan(dx, dy) {
    if (!this.#image) return;
    this.#fitted = false;
    const scale = this.#ratio() / this.#placement.zoom;
    const step = unturned(this.#placement, { x: dx * scale, y: dy * scale });
    const { x, y } = this.#placement.centre;
    this.#placement = { ...this.#placement, centre: { x: x - step.x, y: y - step.y } };
    this.#keepInside();
    this.#draw();
  }

  /** Turn by 90 degrees clockwise. */
  rotate() {
    this.#turn(rotated);
  }

  /** Exchange left and right. */
  flip() {
    this.#turn(flipped);
  }

  #turn(how) {
    if (!this.#image) return;
    this.#placement = how(this.#placement);
    if (this.#fitted) this.fit();
    this.#draw();
  }

  /** Magnify around a point of the canvas in CSS pixels, by default its middle; null ends it. */
  magnify(point) {
    const ratio = this.#ratio();
    this.#magnifier = point && { x: point.x * ratio, y: point.y * ratio };
    this.#draw();
  }

  /** Change level and width by fractions of the width at which the image opened. */
  rewindow(level, width) {
    if (!this.#image) return;
    const whole = Math.abs(this.#image.white - this.#image.black);
    this.#window.level = Math.min(Math.max(this.#window.level + level * whole, -65535), 131070);
    this.#window.width = Math.min(Math.max(this.#window.width + width * whole, whole / 256, 1), 131070);
    this.#draw();
  }

  invert() {
    this.#window.rising = !this.#window.rising;
    this.#draw();
  }

  /** Return the point of the image, in its pixels, at a point of the canvas in CSS pixels. */
  pointAt(x, y) {
    const ratio = this.#ratio();
    return toImage(this.#placement, this.#canvas, { x: x * ratio, y: y * ratio });
  }

  /** Describe the view, for readers and tests; empty without an image. */
  get state() {
    if (!this.#image) return {};
    return {
      zoom: this.#placement.zoom,
      fitted: this.#fitted,
      ...this.#window,
      centre: { ...this.#placement.centre },
      turns: this.#placement.turns,
      mirrored: this.#placement.mirrored,
      magnified: this.#magnifier !== null,
      level_of_detail: this.#image.level,
      overlay: this.#overlay?.opacity ?? null,
    };
  }

  get text() {
    if (!this.#image) return "";
    const { level, width, rising } = this.#window;
    const inverted = rising !== this.#image.white >= this.#image.black;
    return this.words({ zoom: Math.round(this.#placement.zoom * 100), level: Math.round(level), width: Math.round(width), inverted });
  }

  /** The words for the state of the view. */
  words = ({ zoom, level, width, inverted }) => `Zoom ${zoom} %   Level ${level}   Width ${width}${inverted ? ", inverted" : ""}`;

  /** Called after each drawing. */
  onDraw = () => {};

  /** Called to draw above the image: `context`, `place` (image point to canvas point) and pixels per CSS pixel. */
  above = () => {};

  /** Draw again, soon. */
  redraw() {
    this.#draw();
  }

  #draw() {
    if (this.#awaited) return;
    this.#awaited = true;
    requestAnimationFrame(() => {
      this.#awaited = false;
      this.#paint();
      this.onDraw();
    });
  }

  #paint() {
    const { width, height } = this.#canvas;
    this.#context.setTransform(1, 0, 0, 1, 0, 0);
    this.#context.fillStyle = "#000";
    this.#context.fillRect(0, 0, width, height);
    if (!this.#image) return;
    this.#paintPart(this.#placement, { left: 0, top: 0, right: width, bottom: height }, this.#greys);
    if (this.#magnifier) this.#paintMagnifier(this.#magnifier);
    this.#context.setTransform(1, 0, 0, 1, 0, 0);
    this.above(this.#context, (point) => toCanvas(this.#placement, this.#canvas, point), this.#ratio());
  }

  /** Paint the image with a placement, at least in a box of the canvas. */
  #paintPart(placement, box, greys) {
    const level = this.#pyramid.at(placement.zoom);
    const inside = partIn(placement, this.#canvas, box);
    // One more pixel on each side, for the interpolation at the edges.
    const part = {
      left: Math.max(Math.floor(inside.left / level.factor) - 1, 0),
      top: Math.max(Math.floor(inside.top / level.factor) - 1, 0),
      right: Math.min(Math.ceil(inside.right / level.factor) + 1, level.columns),
      bottom: Math.min(Math.ceil(inside.bottom / level.factor) + 1, level.rows),
    };
    const [columns, rows] = [part.right - part.left, part.bottom - part.top];
    if (columns <= 0 || rows <= 0) return;
    greys.paint(level, part, this.#table.of(this.#window));
    this.#context.imageSmoothingQuality = "high";
    drawIn(this.#context, placement, this.#canvas, level.factor);
    this.#context.drawImage(greys.canvas, 0, 0, columns, rows, part.left, part.top, columns, rows);
    if (this.#overlay) this.#paintOverlay(placement, this.#overlay);
  }

  #paintOverlay(placement, { picture, opacity }) {
    drawIn(this.#context, placement, this.#canvas, 1);
    this.#context.globalAlpha = opacity;
    this.#context.drawImage(picture, 0, 0, this.#image.columns, this.#image.rows);
    this.#context.globalAlpha = 1;
  }

  #paintMagnifier({ x, y }) {
    const radius = MAGNIFIER * this.#ratio();
    const context = this.#context;
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.clip();
    context.fillStyle = "#000";
    context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    const placement = zoomedAt(this.#placement, this.#canvas, { x, y }, this.#placement.zoom * MAGNIFIED);
    this.#paintPart(placement, { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }, this.#magnifiedGreys);
    context.restore();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.strokeStyle = "#7cc4ff";
    context.lineWidth = this.#ratio();
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }

  #fitting() {
    const { columns, rows } = this.#image;
    const [across, down] = this.#placement.turns % 2 ? [rows, columns] : [columns, rows];
    return Math.min(this.#canvas.width / across, this.#canvas.height / down) || 1;
  }

  #keepInside() {
    const { centre } = this.#placement;
    centre.x = Math.min(Math.max(centre.x, 0), this.#image.columns);
    centre.y = Math.min(Math.max(centre.y, 0), this.#image.rows);
  }

  #ratio() {
    return window.devicePixelRatio || 1;
  }

  #resize() {
    this.#canvas.width = Math.round(this.#canvas.clientWidth * this.#ratio());
    this.#canvas.height = Math.round(this.#canvas.clientHeight * this.#ratio());
    if (this.#image && this.#fitted) this.fit();
    this.#draw();
  }
}
