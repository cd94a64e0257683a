// The models of a study's results, and what their cards say of them: each figure with its cohort, number and interval.

import { at, element } from "./elements.js";
import * as server from "./server.js";
import { LOCALE, parts, text } from "./texts.js";
import { figureWord, findingTitle, fixed, ofServer, percent } from "./words.js";

/** The text on a study without findings in its record. */
export const notLookedFor = (decision) => (text(decision.model_id ? "figures.before" : "figures.nothing"));

/** A line for each model that scored an image of the study, with its revision and a button for its figures. */
export function modelsOf(found, run) {
  const models = new Map();
  for (const { assessment } of found.objects) {
    for (const each of assessment?.models ?? []) models.set(each.model_digest, each.model_id);
  }
  if (!models.size) return [element("p", { className: "quiet" }, found.decision.model_id ? text("figures.model", { name: found.decision.model_id }) : text("figures.not_scored"))];
  return [...models].map(([digest, name]) => {
    const button = element("button", { type: "button", className: "figures", "aria-label": text("figures.of", { name }), "aria-haspopup": "dialog" }, text("figures.label"));
    button.addEventListener("click", () => run(() => showFigures(name, digest)));
    const revision = element("span", { title: `SHA-256 ${digest}` }, text("figures.revision", { revision: digest.slice(0, 12) }));
    return element("p", { className: "quiet model" }, text("figures.model", { name }), revision, button);
  });
}

async function showFigures(name, digest) {
  const card = await server.get(`/api/models/${digest}`).catch((error) => {
    if (error.status !== 404) throw error;
    return null;
  });
  at("figures-title").textContent = text("figures.title", { name, revision: digest.slice(0, 12) });
  at("figures-text").replaceChildren(...(card ? about(card) : [line(text("figures.unknown"))]));
  at("figures").showModal();
}

function about(card) {
  const { age_from: from, age_below: below, views, modalities } = card.intended_use;
  const ages = below === null ? text("figures.from", { from }) : text("figures.between", { from, below });
  return [
    line(text("figures.use", { modalities: modalities.join(", "), views: views.join(text("figures.and")), ages })),
    card.demo ? line(text("figures.demo"), "warning") : null,
    line(text(card.negative_is_normal ? "figures.normal" : "figures.not_normal")),
    ...card.findings.flatMap(finding),
    ...(card.combined.length ? [element("h3", {}, text("figures.together")), ...card.combined.flatMap(cohort)] : []),
    element("h3", {}, text("figures.trained_on")),
    list(card.trained_on),
    element("h3", {}, text("figures.limits")),
    list(card.limits),
  ].filter(Boolean);
}

function finding(each) {
  const points = each.operating_points.map(({ name, threshold, chosen, approximate }) =>
    parts(approximate ? "figures.about_from" : "figures.positive_from", { name: ofServer(name), threshold: threshold, chosen: ofServer(chosen) }),
  );
  return [
    element("h3", {}, each.counts ? findingTitle(each) : text("finding_of.not_counted", { state: findingTitle(each) })),
    element("p", {}, ...parts("figures.classes", { positive: ofServer(each.positive_class), negative: ofServer(each.negative_class) }), ` ${text(`negative.${each.negative_means}`)}`),
    element("ul", {}, ...points.map((each) => element("li", {}, ...each))),
    ...(each.performance.length ? each.performance.flatMap(cohort) : [line(text("figures.none"))]),
    ...each.pointing_game.map(({ cohort: where, reference, hits, chance }) =>
      element(
        "p",
        {},
        ...parts("figures.pointing", {
          hits: percent(hits.value),
          low: percent(hits.low),
          high: percent(hits.high),
          method: ofServer(hits.method),
          n: hits.n,
          chance: percent(chance),
          where: ofServer(where),
          reference: ofServer(reference),
        }),
      ),
    ),
  ];
}

/** The figures of one cohort. */
function cohort({ cohort: name, reference, held_out_how: how, figures }) {
  const rows = Object.entries(figures).map(([figure, { value, low, high, n, method }]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, figureWord(figure)),
      element("td", {}, rounded(value)),
      element("td", {}, text("figures.interval", { low: rounded(low), high: rounded(high) })),
      element("td", {}, n.toLocaleString(LOCALE)),
      element("td", {}, ofServer(method)),
    ),
  );
  const head = ["figure", "value", "interval", "n", "method"].map((name) => element("th", { scope: "col" }, text(`figures_head.${name}`)));
  const caption = element("caption", {}, ...parts("figures.cohort", { name: ofServer(name), reference: ofServer(reference), how: ofServer(how) }));
  const table = element("table", { className: "figures-table" }, caption, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  return [element("div", { className: "wide", tabIndex: 0, role: "group", "aria-label": text("figures.label") }, table)];
}

const line = (words, className = "") => element("p", { className }, words);
/** Sentences of a card, in the language of its author. */
const list = (sentences) => element("ul", {}, ...sentences.map((each) => element("li", {}, ofServer(each))));
const rounded = (value) => fixed(value);

at("figures-close").addEventListener("click", () => at("figures").close());
