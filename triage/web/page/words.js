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

/** A text of others in a sentence: a name from right to left changes the order of nothing else. */
export const isolated = (text) => element("bdi", {}, text);

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

const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };
const TIME = { hour: "2-digit", minute: "2-digit" };

/** The viewer's time zone now, as people write it: CET, GMT+1. */
export const ZONE = zoneOf(new Date());

function zoneOf(date) {
  return new Intl.DateTimeFormat([], { timeZoneName: "short" }).formatToParts(date).find((each) => each.type === "timeZoneName").value;
}

/** A time in the viewer's zone, with the zone: it was another one before the clocks were changed. */
export const moment = (iso) => (iso ? new Date(iso).toLocaleString([], { ...DAY, ...TIME, second: "2-digit", timeZoneName: "short" }) : "");

/** A time of today without the day, with the zone. */
export const clock = (milliseconds) => new Date(milliseconds).toLocaleTimeString([], { ...TIME, timeZoneName: "short" });

/** A time of today without the day; in the viewer's zone, which the head of its column shows. */
export function shortMoment(iso) {
  if (!iso) return "";
  const [date, now] = [new Date(iso), new Date()];
  const other = zoneOf(date) === ZONE ? "" : ` ${zoneOf(date)}`;
  return date.toLocaleString([], date.toDateString() === now.toDateString() ? TIME : { ...DAY, ...TIME }) + other;
}

/** A person's name (PN) for people: the first group that is not empty, with commas. */
export const nameOf = (name) => (name.split("=").find((group) => group.replaceAll("^", "").trim()) ?? "").split("^").filter(Boolean).join(", ");

/** A date (DA) for people. */
export const dateOf = (text) => (/^\d{8}$/.test(text) ? `${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}` : text);

/** An age as people say it: in months below two years. */
export function ageOf(years) {
  if (years === null || years === undefined) return "";
  return years < 2 ? `${Math.floor(years * 12)} mo` : `${Math.floor(years)} y`;
}

export const percent = (probability) => (probability === null || probability === undefined ? "" : `${(probability * 100).toFixed(0)} %`);

/** "1 study", "2 studies". */
export const counted = (count, one, many) => `${count.toLocaleString()} ${count === 1 ? one : many}`;
