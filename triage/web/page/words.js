// Words that all views share, and the tag.

import { element } from "./elements.js";
import { coded, LOCALE, text } from "./texts.js";

export const TAGS = {
  ABNORMAL: { text: text("tag.ABNORMAL"), sign: "▲" },
  NOT_ASSESSED: { text: text("tag.NOT_ASSESSED"), sign: "◆" },
  NORMAL: { text: text("tag.NORMAL"), sign: "●" },
};

export function tag(name) {
  const { text: word, sign } = TAGS[name];
  return element("span", { className: `tag ${name}` }, element("span", { "aria-hidden": "true" }, sign), ` ${word}`);
}

/** A text of others in a sentence: a name from right to left changes the order of nothing else. */
export const isolated = (name) => element("bdi", {}, name);

const plain = (name) => name.replaceAll("_", " ");

/** Codes of the server in the viewer's language: the code itself where there is no word for it. */
export const tagWord = (name) => coded("tag_word", name, plain(name).toLowerCase());
export const reasonWord = (name) => coded("reason", name, plain(name));
export const urgencyWord = (name) => coded("urgency", name, plain(name));
export const stateWord = (name) => coded("state", name, plain(name));

/** The title of a finding; one that the catalogue does not know has that of its model. */
export const findingTitle = ({ name, title }) => coded("finding", name, title || plain(name));

/** The model's figures by their names. */
export const figureWord = (name) => {
  const [figure, point] = name.split(" at ");
  const word = coded("figure", figure, plain(figure));
  return point ? text("figures.at", { figure: word, point: Number(point) }) : word;
};

/** A sentence of the server, which is in English. */
export const ofServer = (sentence) => element("span", { lang: "en" }, sentence);

/** A time as people wait: 4 min, 2 h 05, 3 d 4 h. */
export function duration(seconds) {
  const minutes = Math.floor(Math.max(seconds, 0) / 60);
  if (minutes < 1) return text("time.seconds", { seconds: Math.floor(Math.max(seconds, 0)) });
  if (minutes < 60) return text("time.minutes", { minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return text("time.hours", { hours, minutes: String(minutes % 60).padStart(2, "0") });
  return text("time.days", { days: Math.floor(hours / 24), hours: hours % 24 });
}

const DAY = { year: "numeric", month: "2-digit", day: "2-digit" };
const TIME = { hour: "2-digit", minute: "2-digit" };

/** The viewer's time zone now, as people write it: CET, GMT+1. */
export const ZONE = zoneOf(new Date());

function zoneOf(date) {
  return new Intl.DateTimeFormat(LOCALE, { timeZoneName: "short" }).formatToParts(date).find((each) => each.type === "timeZoneName").value;
}

/** A time in the viewer's zone, with the zone: it was another one before the clocks were changed. */
export const moment = (iso) => (iso ? new Date(iso).toLocaleString(LOCALE, { ...DAY, ...TIME, second: "2-digit", timeZoneName: "short" }) : "");

/** A time of today without the day, with the zone. */
export const clock = (milliseconds) => new Date(milliseconds).toLocaleTimeString(LOCALE, { ...TIME, timeZoneName: "short" });

/** A time of today without the day; in the viewer's zone, which the head of its column shows. */
export function shortMoment(iso) {
  if (!iso) return "";
  const [date, now] = [new Date(iso), new Date()];
  const other = zoneOf(date) === ZONE ? "" : ` ${zoneOf(date)}`;
  return date.toLocaleString(LOCALE, date.toDateString() === now.toDateString() ? TIME : { ...DAY, ...TIME }) + other;
}

/** A person's name (PN) for people: the first group that is not empty, with commas. */
export const nameOf = (name) => (name.split("=").find((group) => group.replaceAll("^", "").trim()) ?? "").split("^").filter(Boolean).join(", ");

/** A date (DA) for people. */
export const dateOf = (value) => (/^\d{8}$/.test(value) ? text("time.date", { year: value.slice(0, 4), month: value.slice(4, 6), day: value.slice(6) }) : value);

/** An age as people say it: in months below two years. */
export function ageOf(years) {
  if (years === null || years === undefined) return "";
  return years < 2 ? text("age.months", { months: Math.floor(years * 12) }) : text("age.years", { years: Math.floor(years) });
}

export const percent = (probability) => (probability === null || probability === undefined ? "" : `${(probability * 100).toFixed(0)} %`);

/** The state of a view, whose numbers have no separators. */
export const viewWords = ({ zoom, level, width, inverted }) => text(inverted ? "view.inverted" : "view.state", { zoom: String(zoom), level: String(level), width: String(width) });

/** A number with so many digits after its point. */
export const fixed = (value, digits = 3) => value.toLocaleString(LOCALE, { minimumFractionDigits: digits, maximumFractionDigits: digits });
