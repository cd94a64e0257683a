// The page of a locked session: the number of unread HIGH studies, and the way back. It knows no patient.

import { asked } from "./asking.js";
import { at } from "./elements.js";
import * as server from "./server.js";
import { countUnread } from "./unread.js";

const ASK_MS = 3000;
const next = new URLSearchParams(location.search).get("next") ?? "/";

at("unlock").href = `${server.here("/sign-in")}?next=${encodeURIComponent(next)}`;
at("unlock").focus();

/** Signed in again, perhaps in another tab: go back. The server leads to pages of its own alone. */
async function unlocked() {
  const answer = await asked(server.here("/api/session"), { headers: { "X-Triage-Page": "1", "X-Triage-Idle": "1" } }, "").catch(() => null);
  if (answer?.ok) location.replace(at("unlock").href);
}

countUnread();
setInterval(unlocked, ASK_MS);
unlocked();
