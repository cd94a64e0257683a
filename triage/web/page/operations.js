// Waiting work, workers, destinations and dead letters.

import { at, element, show } from "./elements.js";
import * as server from "./server.js";
import { LOCALE, text } from "./texts.js";
import { duration, moment } from "./words.js";

export async function refresh(run) {
  const found = await server.get("/api/operations");
  show(at("operations"), () => {
    const focused = document.activeElement?.dataset?.key;
    const parts = [...tiles(found), ...destinations(found), ...deadLetters(found, run)];
    if (focused) queueMicrotask(() => at("operations").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus());
    return parts;
  });
}

function tiles(found) {
  const oldest = found.oldest_untagged_received_at;
  const waits = oldest ? duration((Date.now() - Date.parse(oldest)) / 1000) : text("operations.nothing_waits");
  const free = text("operations.free", { free: (found.spool_free_bytes / 1e9).toFixed(0) });
  return [
    element(
      "div",
      { className: "tiles" },
      tile("queue", found.queue_depth ?? "?", found.queue_depth === null ? text("operations.redis") : found.queue_priors ? text("operations.jobs_priors", { priors: found.queue_priors }) : text("operations.jobs"), found.queue_depth === null),
      tile("untagged", found.inbox_objects, oldest ? text("operations.oldest", { time: waits }) : waits, found.inbox_objects > 0 && Date.now() - Date.parse(oldest) > 60000),
      tile("workers", found.workers, found.workers_died ? text("operations.died", { died: found.workers_died }) : text("operations.alive"), found.workers === 0),
      tile("throughput", found.tagged_last_5_min ?? "?", text("operations.throughput", { hour: found.tagged_last_hour ?? "?" })),
      tile("listed", found.worklist_studies ?? "?", text(found.worklist_complete ? "operations.to_read" : "operations.not_whole"), !found.worklist_complete),
      tile("disk", `${(found.spool_used_fraction * 100).toFixed(0)} %`, free, found.spool_used_fraction > 0.85),
      tile("dead_letters", found.dead_letters_total, text("operations.given_up"), found.dead_letters_total > 0),
      tile("quarantined", found.quarantined_objects, text("operations.unparsed"), found.quarantined_objects > 0),
      tile("models_off", found.disabled_models.length, found.disabled_models.join(", ") || text("operations.all_on"), found.disabled_models.length > 0),
    ),
  ];
}

function tile(name, value, about, warning = false) {
  const title = text(`tile.${name}`);
  return element(
    "section",
    { className: warning ? "tile warning" : "tile", "aria-label": title },
    element("h2", {}, title),
    element("p", { className: "value" }, value.toLocaleString(LOCALE)),
    element("p", { className: "quiet" }, (warning ? "⚠ " : "") + about),
  );
}

function destinations(found) {
  if (!found.destinations.length) return [];
  const rows = found.destinations.map((each) =>
    element(
      "tr",
      {},
      element("td", {}, each.name),
      element("td", { className: "number" }, String(each.waiting)),
      element("td", { className: "number" }, String(each.dead)),
      element("td", {}, each.disabled ? text("operations.off") : each.why ? text("operations.failing", { why: each.why }) : text("operations.on")),
    ),
  );
  const head = ["destination", "waiting", "dead", "state"].map((name) => element("th", {}, text(`destination_head.${name}`)));
  return [element("h2", {}, text("operations.destinations")), element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))];
}

function deadLetters(found, run) {
  if (!found.dead_letters.length) return [];
  const rows = found.dead_letters.map((each) => {
    const button = element("button", { type: "button", dataset: { key: each.key } }, text("page.again"));
    button.disabled = !found.may_requeue;
    button.addEventListener("click", () =>
      run(async () => {
        await server.post("/api/requeue", { key: each.key });
        await refresh(run);
      }),
    );
    return element(
      "tr",
      {},
      element("td", {}, each.destination || text("operations.scoring")),
      element("td", {}, moment(each.at)),
      element("td", { className: "reasons", lang: "en" }, each.why),
      element("td", {}, element("a", { href: server.here(`/studies/${each.study_instance_uid}`) }, text("study.label"))),
      element("td", {}, button),
    );
  });
  const head = ["where", "at", "why", "", ""].map((name) => element("th", {}, name && text(`dead_head.${name}`)));
  const title = text("operations.dead_letters", { count: found.dead_letters_total });
  return [element("h2", {}, title), element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))];
}
