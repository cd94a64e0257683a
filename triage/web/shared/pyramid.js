// An image at half, a quarter, ... of its size, made on demand: a smaller image shows averages, not single pixels, and
// windowing it costs no more than the screen has pixels.

export class Pyramid {
  #levels;
  #first;

  /** `content` is the image halved `first` times: a preview is a pyramid without its lowest levels. */
  constructor(content, first = 0) {
    this.#levels = [...Array(first).fill(null), content];
    this.#first = first;
  }

  /** Return the smallest level that is no coarser than the screen at `zoom` (screen pixels per image pixel). */
  at(zoom) {
    let level = this.#first;
    while (zoom * 2 ** (level + 1) <= 1 && this.#level(level).columns > 1) level += 1;
    return { ...this.#level(level), factor: 2 ** level };
  }

  #level(level) {
    while (this.#levels.length <= level) this.#levels.push(halved(this.#levels.at(-1)));
    return this.#levels[level];
  }
}

/** Return the averages of every two by two pixels; masked pixels are left out. */
export function halved({ values, mask, rows, columns }) {
  const half = { rows: Math.ceil(rows / 2), columns: Math.ceil(columns / 2) };
  const count = half.rows * half.columns;
  const out = { ...half, values: new Uint16Array(count), mask: mask && new Uint8Array(count) };
  for (let row = 0, at = 0; row < half.rows; row++) {
    const above = 2 * row * columns;
    const below = Math.min(2 * row + 1, rows - 1) * columns;
    for (let column = 0; column < half.columns; column++, at++) {
      const left = 2 * column;
      const right = Math.min(left + 1, columns - 1);
      const four = [above + left, above + right, below + left, below + right];
      if (mask) averageSeen(values, mask, four, out, at);
      else out.values[at] = (values[four[0]] + values[four[1]] + values[four[2]] + values[four[3]] + 2) >> 2;
    }
  }
  return out;
}

function averageSeen(values, mask, four, out, at) {
  const seen = four.filter((index) => mask[index]);
  if (!seen.length) return;
  out.mask[at] = 1;
  out.values[at] = Math.round(seen.reduce((sum, index) => sum + values[index], 0) / seen.length);
}
