// The strip above every view. It cannot be closed: it counts the unread studies that come first in reading order and
// are not on the screen while something less urgent is, or that a filter hides, and leads to them. It also says when
// results stop coming. It is there even if it has nothing to say: what moves below a pointer is pressed by mistake.

import { at } from "./elements.js";
import { isFirst } from "./list.js";
import { text } from "./texts.js";
import { shortMoment, ZONE } from "./words.js";

export class Strip {
  #first = null; // not known yet
  #last = { high: 0, past_cap: 0 };
  #since = null; // no result came since

  /** `list` is the list; `view` returns the name of the view and the study that is open. */
  constructor(list, view) {
    this.list = list;
    this.view = view;
    document.addEventListener("scroll", () => this.show(), { capture: true, passive: true });
    addEventListener("resize", () => this.show());
  }

  /** The server's numbers changed: studies that come first, and since when no result came. */
  tell({ first, no_result_since: since }) {
    this.#first = first ?? this.#first;
    if (since !== undefined) this.#since = since;
    this.show();
  }

  show() {
    if (!this.#first) return;
    const outside = this.#outside();
    const some = Boolean(outside.high || outside.past_cap);
    at("outside").classList.toggle("some", some);
    at("outside-text").textContent = some
      ? text("strip.outside", { count: outside.high + outside.past_cap, studies: inWords(outside) })
      : text("strip.none_hidden", { studies: inWords(this.#first) || text("strip.no_high") });
    at("show-first").disabled = !some;
    at("stopped").hidden = !this.#since;
    at("stopped-text").textContent = text("strip.stopped", { time: `${shortMoment(this.#since)} ${ZONE}` });
  }

  #outside() {
    const { name, open } = this.view();
    if (name !== "list") {
      const entry = open && this.list.entry(open);
      return entry && isFirst(entry) ? { high: 0, past_cap: 0 } : this.#first;
    }
    const { first = this.#first, outside } = this.list.found;
    if (at("rows").matches(":active")) return this.#last; // the rows change after the press
    const visible = this.list.visible();
    const inList = { high: first.high - outside.high, past_cap: first.past_cap - outside.past_cap };
    const hidden = visible.every(isFirst) ? { high: 0, past_cap: 0 } : less(inList, visible);
    this.#last = { high: outside.high + hidden.high, past_cap: outside.past_cap + hidden.past_cap };
    return this.#last;
  }
}

function inWords({ high, past_cap: pastCap }) {
  const [first, late] = [high && text("strip.high", { count: high }), pastCap && text("strip.past_cap", { count: pastCap })];
  return first && late ? text("strip.both", { first, late }) : first || late;
}

/** Numbers without the studies of `entries`. */
function less({ high, past_cap: pastCap }, entries) {
  const shown = entries.filter((each) => each.priority === "HIGH").length;
  const late = entries.filter((each) => each.priority !== "HIGH" && each.past_cap).length;
  return { high: Math.max(high - shown, 0), past_cap: Math.max(pastCap - late, 0) };
}

