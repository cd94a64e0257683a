// The number of unread HIGH studies, on pages without the list. It names no study and no patient.

import { at } from "./elements.js";
import * as server from "./server.js";
import { text } from "./texts.js";

const ASK_MS = 5000;

async function ask() {
  const found = await server.get("/api/unread-high").catch((error) => {
    if (!(error instanceof server.Refused)) throw error;
    return { unread_high: null };
  });
  const count = found.unread_high;
  at("unread-high").textContent = count === null ? text("unread.unknown") : count ? text("unread.high", { count }) : text("strip.no_high");
  at("outside").classList.toggle("some", count !== 0);
}

/** Show the number from now on. */
export function countUnread() {
  ask();
  setInterval(ask, ASK_MS);
}
