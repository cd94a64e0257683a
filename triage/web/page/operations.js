// Waiting work, workers, destinations and dead letters.

import { at, element, show } from "./elements.js";
import * as server from "./server.js";
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
  const waits = oldest ? duration((Date.now() - Date.parse(oldest)) / 1000) : "nothing waits";
  const free = `${(found.spool_free_bytes / 1e9).toFixed(0)} GB free`;
  return [
    element(
      "div",
      { className: "tiles" },
      tile("Queue", found.queue_depth ?? "?", found.queue_depth === null ? "Redis is down" : `jobs that wait${found.queue_priors ? `, ${found.queue_priors} of priors` : ""}`, found.queue_depth === null),
      tile("Untagged", found.inbox_objects, oldest ? `oldest for ${waits}` : waits, found.inbox_objects > 0 && Date.now() - Date.parse(oldest) > 60000),
      tile("Workers", found.workers, found.workers_died ? `${found.workers_died} died` : "alive", found.workers === 0),
      tile("Throughput", found.tagged_last_5_min ?? "?", `studies in 5 min; ${found.tagged_last_hour ?? "?"} in the last hour`),
      tile("Listed", found.worklist_studies ?? "?", found.worklist_complete ? "studies to read" : "the list is not whole yet", !found.worklist_complete),
      tile("Disk", `${(found.spool_used_fraction * 100).toFixed(0)} %`, free, found.spool_used_fraction > 0.85),
      tile("Dead letters", found.dead_letters_total, "given up, see below", found.dead_letters_total > 0),
      tile("Quarantined", found.quarantined_objects, "objects that cannot be parsed", found.quarantined_objects > 0),
      tile("Models off", found.disabled_models.length, found.disabled_models.join(", ") || "all are on", found.disabled_models.length > 0),
    ),
  ];
}

function tile(title, value, text, warning = false) {
  return element(
    "section",
    { className: warning ? "tile warning" : "tile", "aria-label": title },
    element("h2", {}, title),
    element("p", { className: "value" }, String(value)),
    element("p", { className: "quiet" }, (warning ? "⚠ " : "") + text),
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
      element("td", {}, each.disabled ? "switched off" : each.why ? `failing: ${each.why}` : "on"),
    ),
  );
  const head = ["Destination", "Waiting", "Dead", "State"].map((name) => element("th", {}, name));
  return [element("h2", {}, "Destinations"), element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))];
}

function deadLetters(found, run) {
  if (!found.dead_letters.length) return [];
  const rows = found.dead_letters.map((each) => {
    const button = element("button", { type: "button", dataset: { key: each.key } }, "Try again");
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
      element("td", {}, each.destination || "scoring"),
      element("td", {}, moment(each.at)),
      element("td", { className: "reasons" }, each.why),
      element("td", {}, element("a", { href: server.here(`/studies/${each.study_instance_uid}`) }, "Study")),
      element("td", {}, button),
    );
  });
  const head = ["Where", "Given up", "Why", "", ""].map((name) => element("th", {}, name));
  const title = `Dead letters (${found.dead_letters_total})`;
  return [element("h2", {}, title), element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows))];
}
