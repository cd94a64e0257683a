// The window: greys of a part of an image, on a canvas of their own.

const BLACK = 0xff000000;

/** Colours of all values in a window. */
export class GreyTable {
  #table = new Uint32Array(65536);
  #window = null;

  /** Return the colour of every value; `level` and `width` of the window, `rising`: high values are bright. */
  of(window) {
    const { level, width, rising } = window;
    const known = this.#window;
    if (known && known.level === level && known.width === width && known.rising === rising) return this.#table;
    this.#window = { level, width, rising };
    const low = level - width / 2;
    for (let value = 0; value < 65536; value++) {
      const grey = Math.min(Math.max((value - low) / width, 0), 1);
      const byte = Math.round((rising ? grey : 1 - grey) * 255);
      this.#table[value] = BLACK | (byte << 16) | (byte << 8) | byte;
    }
    return this.#table;
  }
}

/** A canvas with the greys of one part of an image. */
export class Greys {
  canvas = document.createElement("canvas");
  #context = this.canvas.getContext("2d", { alpha: false });
  #pixels = null;

  /** Paint the part (left, top, right, bottom, whole pixels) of `level` of the pyramid with the colours of `table`. */
  paint(level, part, table) {
    const [columns, rows] = [part.right - part.left, part.bottom - part.top];
    this.#fit(columns, rows);
    const out = new Uint32Array(this.#pixels.data.buffer);
    for (let row = 0, at = 0; row < rows; row++) {
      let from = (part.top + row) * level.columns + part.left;
      for (let column = 0; column < columns; column++, at++, from++) {
        out[at] = level.mask && !level.mask[from] ? BLACK : table[level.values[from]];
      }
    }
    this.#context.putImageData(this.#pixels, 0, 0);
  }

  #fit(columns, rows) {
    if (this.#pixels?.width === columns && this.#pixels.height === rows) return;
    this.canvas.width = columns;
    this.canvas.height = rows;
    this.#pixels = this.#context.createImageData(columns, rows);
  }
}
