// The texts of this page, in the language that the server chose for it. They are a part of the page, so that nothing is
// shown in another language first.

const CATALOGUE = JSON.parse(document.getElementById("texts").textContent);

export const LANGUAGE = document.documentElement.lang;

/** The viewer's variant of the language, by which numbers and times are written. */
export const LOCALE = navigator.languages.find((each) => each.split("-")[0] === LANGUAGE) ?? LANGUAGE;

const PLURALS = new Intl.PluralRules(LOCALE);

/** The text of a key, with `values` in its fields; `count` chooses the plural form. */
export const text = (key, values = {}) => parts(key, values).join("");

/** The same as a list of texts and of the elements among `values`, which are no part of a text. */
export function parts(key, values = {}) {
  const found = CATALOGUE[key];
  if (found === undefined) throw new Error(`no text ${key}`);
  const form = typeof found === "string" ? found : (found[PLURALS.select(values.count)] ?? found.other);
  return form.split(/\{(\w+)\}/).map((part, index) => (index % 2 ? written(values[part]) : part));
}

/** The text of a code of the server, such as a reason; `fallback` where the catalogue does not know it. */
export const coded = (kind, code, fallback) => (CATALOGUE[`${kind}.${code}`] === undefined ? fallback : text(`${kind}.${code}`));

const written = (value) => (typeof value === "number" ? value.toLocaleString(LOCALE, { maximumFractionDigits: 10 }) : value);
