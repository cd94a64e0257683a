// The number of unread HIGH studies, on pages without the list. It names no study and no patient.

import { at } from "./elements.js";
import * as server from "./server.js";
import { counted } from "./words.js";

const ASK_MS = 5000;
const TEXTS = { one: "unread HIGH study", many: "unread HIGH studies", none: "No unread HIGH", unknown: "Unread HIGH studies cannot be counted: look at the list" };

async function ask() {
  const found = await server.get("/api/unread-high").catch((error) => {
    if (!(error instanceof server.Refused)) throw error;
    return { unread_high: null };
  });
  const count = found.unread_high;
  at("unread-high").textContent = count === null ? TEXTS.unknown : count ? counted(count, TEXTS.one, TEXTS.many) : TEXTS.none;
  at("outside").classList.toggle("some", count !== 0);
}

/** Show the number from now on. */
export function countUnread() {
  ask();
  setInterval(ask, ASK_MS);
}
