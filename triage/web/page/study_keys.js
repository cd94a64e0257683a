// Keys and buttons of the open study's pictures.

import { at } from "./elements.js";
import { attachButtons, moving, windowing } from "./keys.js";

const STEP = 5; // CSS pixels by which an arrow moves an end of the ruler

/** Return the actions by key; `toggleMap` is the page's. */
export function pictureKeys(study, toggleMap) {
  const { panes, map } = study.pictures;
  return {
    ...moving(study.view),
    ...ruling(study, "to", moving(study.view)),
    n: () => study.pictures.next(),
    f: () => study.view.fit(),
    0: () => study.view.reset(),
    1: () => study.view.actual(),
    i: () => study.view.invert(),
    t: () => study.view.rotate(),
    x: () => study.view.flip(),
    w: () => panes.nextPreset(),
    z: () => panes.magnify(),
    l: () => panes.rule(),
    b: () => study.pictures.toggleTwo(),
    y: () => panes.link(),
    v: () => panes.swap(),
    e: () => study.showPrior(),
    m: toggleMap,
    ",": () => map.fade(-1),
    ".": () => map.fade(1),
  };
}

/** Return the actions by key with Shift. */
export const shiftedKeys = (study) => ({ ...windowing(study.view), ...ruling(study, "from", windowing(study.view)) });

/** Arrows move an end of the ruler's line while there is one. */
function ruling(study, end, otherwise) {
  const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  return Object.fromEntries(
    Object.entries(steps).map(([key, step]) => [key, () => study.pictures.panes.nudge(end, ...step) || otherwise[key]()]),
  );
}

/** Connect the buttons; `move` opens the next (1) or the previous (-1) study. */
export function attachPictureButtons(study, toggleMap, move) {
  attachButtons(study.view);
  at("map").addEventListener("click", toggleMap);
  at("next-study").addEventListener("click", () => move(1));
  at("previous-study").addEventListener("click", () => move(-1));
}

/** End the ruler; false if it was off. */
export function endRuler(study) {
  const { panes } = study.pictures;
  if (!panes.isRuling) return false;
  panes.rule(false);
  return true;
}
