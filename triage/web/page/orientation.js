// The words and letters by which a turned or mirrored picture is told from one as it was stored.

import { turned } from "./placement.js";
import { text } from "./texts.js";

const OPPOSITE = { A: "P", P: "A", R: "L", L: "R", H: "F", F: "H" };

/** Return what is said on the picture; empty if it is shown as stored. */
export function turnText({ turns, mirrored }) {
  const parts = [mirrored && text("orientation.mirrored"), turns > 0 && text("orientation.turned", { degrees: turns * 90 })];
  return parts.filter(Boolean).join(" · ");
}

/**
 * Return the letters at the edges of the screen, by `left`, `right`, `top`, `bottom`; none where the object states no
 * Patient Orientation. `orientation` has the directions of a row and of a column.
 */
export function edgeLetters(orientation, placement) {
  if (orientation?.length !== 2) return {};
  const [row, column] = orientation;
  const stated = [
    [{ x: 1, y: 0 }, row],
    [{ x: -1, y: 0 }, opposite(row)],
    [{ x: 0, y: 1 }, column],
    [{ x: 0, y: -1 }, opposite(column)],
  ];
  return Object.fromEntries(stated.map(([direction, letters]) => [edge(turned(placement, direction)), letters]));
}

const opposite = (letters) => [...letters].map((letter) => OPPOSITE[letter]).join("");

function edge({ x, y }) {
  if (Math.round(x)) return x > 0 ? "right" : "left";
  return y > 0 ? "bottom" : "top";
}
