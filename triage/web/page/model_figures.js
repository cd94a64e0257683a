// The models of a study's results, and what their cards say of them: each figure with its cohort, number and interval.

import { at, element } from "./elements.js";
import * as server from "./server.js";
import { plain } from "./words.js";

const TEXTS = {
  notScored: "Not scored",
  nothing: "Nothing was looked for: no image was assessed.",
  before: "The result was made before findings were recorded: what its model looks for stands under Figures.",
  figures: "Figures",
  none: "The card states none.",
  unknown: "No installed model has these weights: its figures are not known here.",
  absent: "A negative means absent.",
  undetermined: "A negative leaves it open.",
  demo: "A demonstration, which was never shown to know anything.",
  notNormal: "A negative of all findings does not mean a normal radiograph.",
  normal: "A negative of all findings means that what it looks for was not found.",
};

/** The text on a study without findings in its record. */
export const notLookedFor = (decision) => (decision.model_id ? TEXTS.before : TEXTS.nothing);

/** A line for each model that scored an image of the study, with its revision and a button for its figures. */
export function modelsOf(found, run) {
  const models = new Map();
  for (const { assessment } of found.objects) {
    for (const each of assessment?.models ?? []) models.set(each.model_digest, each.model_id);
  }
  if (!models.size) return [element("p", { className: "quiet" }, found.decision.model_id ? `Model ${found.decision.model_id}` : TEXTS.notScored)];
  return [...models].map(([digest, name]) => {
    const button = element("button", { type: "button", className: "figures", "aria-label": `${TEXTS.figures}: ${name}`, "aria-haspopup": "dialog" }, TEXTS.figures);
    button.addEventListener("click", () => run(() => showFigures(name, digest)));
    const revision = element("span", { title: `SHA-256 ${digest}` }, `, revision ${digest.slice(0, 12)} `);
    return element("p", { className: "quiet model" }, `Model ${name}`, revision, button);
  });
}

async function showFigures(name, digest) {
  const card = await server.get(`/api/models/${digest}`).catch((error) => {
    if (error.status !== 404) throw error;
    return null;
  });
  at("figures-title").textContent = `${name}, revision ${digest.slice(0, 12)}`;
  at("figures-text").replaceChildren(...(card ? about(card) : [line(TEXTS.unknown)]));
  at("figures").showModal();
}

function about(card) {
  const { age_from: from, age_below: below, views, modalities } = card.intended_use;
  const ages = below === null ? `from ${from} years` : `from ${from} to below ${below} years`;
  return [
    line(`For ${modalities.join(", ")}, ${views.join(" and ")}, patients ${ages}.`),
    card.demo ? line(TEXTS.demo, "warning") : null,
    line(card.negative_is_normal ? TEXTS.normal : TEXTS.notNormal),
    ...card.findings.flatMap(finding),
    ...(card.combined.length ? [element("h3", {}, "All findings together"), ...card.combined.flatMap(cohort)] : []),
    element("h3", {}, "Trained on"),
    list(card.trained_on),
    element("h3", {}, "Limits"),
    list(card.limits),
  ].filter(Boolean);
}

function finding(each) {
  const points = each.operating_points.map(({ name, threshold, chosen, approximate }) => `${name}: positive from ${threshold}${approximate ? " (approximate)" : ""}; ${chosen}`);
  return [
    element("h3", {}, each.title + (each.counts ? "" : " (does not count)")),
    line(`Positive: ${each.positive_class}. Negative: ${each.negative_class}. ${TEXTS[each.negative_means]}`),
    list(points),
    ...(each.performance.length ? each.performance.flatMap(cohort) : [line(TEXTS.none)]),
    ...each.pointing_game.map(({ cohort: where, reference, hits, chance }) =>
      line(`Map points at it in ${share(hits.value)} (${share(hits.low)} to ${share(hits.high)}; ${hits.method}; n ${hits.n}), by chance in ${share(chance)}; ${where}, boxes of ${reference}`),
    ),
  ];
}

/** The figures of one cohort. */
function cohort({ cohort: name, reference, held_out_how: how, figures }) {
  const rows = Object.entries(figures).map(([figure, { value, low, high, n, method }]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, plain(figure)),
      element("td", {}, rounded(value)),
      element("td", { title: method }, `${rounded(low)} to ${rounded(high)}`),
      element("td", {}, n.toLocaleString()),
      element("td", {}, method),
    ),
  );
  const head = ["Figure", "Value", "Interval", "n", "Method"].map((text) => element("th", { scope: "col" }, text));
  const caption = element("caption", {}, `${name}; against: ${reference}; ${how}`);
  const table = element("table", { className: "figures-table" }, caption, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  return [element("div", { className: "wide", tabIndex: 0, role: "group", "aria-label": name }, table)];
}

const line = (text, className = "") => element("p", { className }, text);
const list = (texts) => element("ul", {}, ...texts.map((text) => element("li", {}, text)));
const rounded = (value) => value.toFixed(3);
const share = (value) => `${(value * 100).toFixed(0)} %`;

at("figures-close").addEventListener("click", () => at("figures").close());
