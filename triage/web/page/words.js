// Words that all views share, and the tag.

import { element } from "./elements.js";

export const TAGS = {
  ABNORMAL: { text: "Abnormal", sign: "▲" },
  NOT_ASSESSED: { text: "Not assessed", sign: "◆" },
  NORMAL: { text: "Normal", sign: "●" },
};

export function tag(name) {
  const { text, sign } = TAGS[name];
  return element("span", { className: `tag ${name}` }, element("span", { "aria-hidden": "true" }, sign), ` ${text}`);
}

export const plain = (name) => name.replaceAll("_", " ");

/** A time as people wait: 4 min, 2 h 05, 3 d 4 h. */
export function duration(seconds) {
  const minutes = Math.floor(Math.max(seconds, 0) / 60);
  if (minutes < 1) return `${Math.floor(Math.max(seconds, 0))} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")}`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const moment = (iso) => (iso ? new Date(iso).toLocaleString() : "");

export const percent = (probability) => (probability === null ? "" : `${(probability * 100).toFixed(0)} %`);

/** "1 study", "2 studies". */
export const counted = (count, one, many) => `${count.toLocaleString()} ${count === 1 ? one : many}`;
