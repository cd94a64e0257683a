// What was corrected of a study: by whom, when and why.

import { element } from "./elements.js";
import { parts } from "./texts.js";
import { isolated, moment } from "./words.js";

/** The paragraphs of all corrections, newest first. */
export function corrections(acts) {
  return acts.map((each) => element("p", {}, element("span", { className: "quiet" }, `${moment(each.at)}  `), ...said(each), ": ", isolated(each.reason)));
}

/** The line at the head of a study that was corrected; null of any other. */
export function lastCorrection([last]) {
  return last ? element("p", { className: "done", id: "corrected" }, ...said(last), `, ${moment(last.at)}: `, isolated(last.reason)) : null;
}

const said = (each) => parts(`correction.${each.status}`, { by: isolated(each.by) });
