// One image on a canvas: window, zoom and pan. The values keep their full depth; the window makes greys of them.

import { Pyramid } from "./pyramid.js";

const LARGEST_ZOOM = 16;
const SMALLEST_ZOOM = 0.25; // of that which fits the screen
const BLACK = 0xff000000;

export class View {
  #canvas;
  #context;
  #image = null;
  #pyramid = null;
  #greys = document.createElement("canvas");
  #greysContext = this.#greys.getContext("2d", { alpha: false });
  #pixels = null;
  #table = new Uint32Array(65536);
  #window = { level: 0.5, width: 1, rising: true };
  #zoom = 1; // screen pixels for one of the image
  #centre = { x: 0, y: 0 }; // of the screen, in image pixels
  #overlay = null; // { picture, opacity }
  #fitted = true;
  #stale = true; // the table is of another window
  #awaited = false;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /** Show an image (values, mask or null, rows, columns, black, white) with its default view; null shows none. */
  show(image) {
    this.#image = image;
    this.#pyramid = image && new Pyramid(image);
    this.#overlay = null;
    this.reset();
    this.#draw();
  }

  /** Overlay a picture of any size on the whole image; null removes it. */
  lay(picture, opacity = 1) {
    this.#overlay = picture && { picture, opacity };
    this.#draw();
  }

  reset() {
    if (!this.#image) return;
    const { black, white } = this.#image;
    this.#window = { level: (black + white) / 2, width: Math.abs(white - black), rising: white >= black };
    this.#stale = true;
    this.fit();
  }

  fit() {
    if (!this.#image) return;
    this.#fitted = true;
    this.#zoom = this.#fitting();
    this.#centre = { x: this.#image.columns / 2, y: this.#image.rows / 2 };
    this.#draw();
  }

  actual() {
    this.zoomTo(1);
  }

  zoomIn() {
    this.zoomTo(this.#zoom * 1.25);
  }

  zoomOut() {
    this.zoomTo(this.#zoom / 1.25);
  }

  /** Zoom by a factor, keeping the point of the image at (x, y) of the canvas, in CSS pixels, where it is. */
  zoomBy(factor, x, y) {
    const ratio = this.#ratio();
    this.zoomTo(this.#zoom * factor, {
      x: x * ratio - this.#canvas.width / 2,
      y: y * ratio - this.#canvas.height / 2,
    });
  }

  zoomTo(zoom, held = { x: 0, y: 0 }) {
    if (!this.#image) return;
    const before = this.#zoom;
    this.#fitted = false;
    const smallest = Math.min(this.#fitting() * SMALLEST_ZOOM, 1);
    this.#zoom = Math.min(Math.max(zoom, smallest), Math.max(LARGEST_ZOOM, this.#fitting()));
    this.#centre.x += held.x / before - held.x / this.#zoom;
    this.#centre.y += held.y / before - held.y / this.#zoom;
    this.#keepInside();
    this.#draw();
  }

  /** Move the image by CSS pixels. */
  pan(dx, dy) {
    if (!this.#image) return;
    this.#fitted = false;
    this.#centre.x -= (dx * this.#ratio()) / this.#zoom;
    this.#centre.y -= (dy * this.#ratio()) / this.#zoom;
    this.#keepInside();
    this.#draw();
  }

  /** Change level and width by fractions of the width at which the image opened. */
  rewindow(level, width) {
    if (!this.#image) return;
    const whole = Math.abs(this.#image.white - this.#image.black);
    this.#window.level = Math.min(Math.max(this.#window.level + level * whole, -65535), 131070);
    this.#window.width = Math.min(Math.max(this.#window.width + width * whole, whole / 256, 1), 131070);
    this.#stale = true;
    this.#draw();
  }

  invert() {
    this.#window.rising = !this.#window.rising;
    this.#stale = true;
    this.#draw();
  }

  /** Describe the view, for readers and tests; empty without an image. */
  get state() {
    if (!this.#image) return {};
    return {
      zoom: this.#zoom,
      fitted: this.#fitted,
      level: this.#window.level,
      width: this.#window.width,
      rising: this.#window.rising,
      centre: { ...this.#centre },
      overlay: this.#overlay?.opacity ?? null,
    };
  }

  get text() {
    if (!this.#image) return "";
    const { level, width, rising } = this.#window;
    const inverted = rising === this.#image.white >= this.#image.black ? "" : ", inverted";
    return `Zoom ${Math.round(this.#zoom * 100)} %   Level ${Math.round(level)}   Width ${Math.round(width)}${inverted}`;
  }

  /** Called after each drawing. */
  onDraw = () => {};

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
    this.#context.fillStyle = "#000";
    this.#context.fillRect(0, 0, width, height);
    if (!this.#image) return;
    const level = this.#pyramid.at(this.#zoom);
    const scale = this.#zoom * level.factor;
    const left = this.#centre.x / level.factor - width / 2 / scale;
    const top = this.#centre.y / level.factor - height / 2 / scale;
    // One more pixel on each side, for the interpolation at the edges.
    const part = {
      left: Math.max(Math.floor(left) - 1, 0),
      top: Math.max(Math.floor(top) - 1, 0),
      right: Math.min(Math.ceil(left + width / scale) + 1, level.columns),
      bottom: Math.min(Math.ceil(top + height / scale) + 1, level.rows),
    };
    const [columns, rows] = [part.right - part.left, part.bottom - part.top];
    if (columns <= 0 || rows <= 0) return;
    this.#applyWindow(level, part, columns, rows);
    let [x, y] = [(part.left - left) * scale, (part.top - top) * scale];
    if (scale === 1) [x, y] = [Math.round(x), Math.round(y)]; // pixel on pixel, nothing in between
    this.#context.imageSmoothingQuality = "high";
    this.#context.drawImage(this.#greys, 0, 0, columns, rows, x, y, columns * scale, rows * scale);
    if (this.#overlay) this.#paintOverlay(this.#overlay);
  }

  #paintOverlay({ picture, opacity }) {
    const { columns, rows } = this.#image;
    const left = this.#canvas.width / 2 - this.#centre.x * this.#zoom;
    const top = this.#canvas.height / 2 - this.#centre.y * this.#zoom;
    this.#context.globalAlpha = opacity;
    this.#context.drawImage(picture, left, top, columns * this.#zoom, rows * this.#zoom);
    this.#context.globalAlpha = 1;
  }

  /** Draw the greys of the visible part on a separate canvas. */
  #applyWindow(level, part, columns, rows) {
    if (this.#greys.width !== columns || this.#greys.height !== rows) {
      this.#greys.width = columns;
      this.#greys.height = rows;
      this.#pixels = this.#greysContext.createImageData(columns, rows);
    }
    const table = this.#tabled();
    const out = new Uint32Array(this.#pixels.data.buffer);
    for (let row = 0, at = 0; row < rows; row++) {
      let from = (part.top + row) * level.columns + part.left;
      for (let column = 0; column < columns; column++, at++, from++) {
        out[at] = level.mask && !level.mask[from] ? BLACK : table[level.values[from]];
      }
    }
    this.#greysContext.putImageData(this.#pixels, 0, 0);
  }

  /** Return the colour of every value in the window. */
  #tabled() {
    if (!this.#stale) return this.#table;
    this.#stale = false;
    const { level, width, rising } = this.#window;
    const low = level - width / 2;
    for (let value = 0; value < 65536; value++) {
      const grey = Math.min(Math.max((value - low) / width, 0), 1);
      const byte = Math.round((rising ? grey : 1 - grey) * 255);
      this.#table[value] = BLACK | (byte << 16) | (byte << 8) | byte;
    }
    return this.#table;
  }

  #fitting() {
    return Math.min(this.#canvas.width / this.#image.columns, this.#canvas.height / this.#image.rows) || 1;
  }

  #keepInside() {
    this.#centre.x = Math.min(Math.max(this.#centre.x, 0), this.#image.columns);
    this.#centre.y = Math.min(Math.max(this.#centre.y, 0), this.#image.rows);
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
