// What the page asks of the server.

import { asked, picture, posting, refusal } from "./asking.js";

export { Refused } from "./asking.js";

// The page may lie below a path of a reverse proxy's. Where is known by where this script came from: BASE/page/server.js.
const BASE = new URL("..", import.meta.url).pathname;

/** The address of one of our paths. */
export const here = (path) => BASE + path.slice(1);

/** Our path of an address, as `here` takes it. */
export const place = (pathname) => "/" + pathname.slice(BASE.length);

export async function get(path) {
  return (await answered(path)).json();
}

export async function post(path, body) {
  return (await answered(path, posting(body))).json();
}

/** The image at a path; Refused with status 422 if it cannot be shown. */
export async function image(path) {
  return picture(await answered(path));
}

let lastInput = Date.now();
for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"]) {
  addEventListener(kind, () => (lastInput = Date.now()), { capture: true, passive: true });
}

/** To the page on which one signs in; what was on the screen goes. */
export function signIn(page = "/sign-in") {
  document.body.hidden = true;
  location.replace(`${here(page)}?next=${encodeURIComponent(place(location.pathname))}`);
  return new Promise(() => {});
}

/** To where one signs out of the identity provider, too. */
export function leave(address) {
  document.body.hidden = true;
  location.replace(address);
  return new Promise(() => {});
}

async function answered(path, options = {}) {
  // What the page asks by itself keeps no session alive: only what somebody does.
  const idle = Date.now() - lastInput > 30_000 ? { "X-Triage-Idle": "1" } : {};
  const headers = { "X-Triage-Page": "1", ...options.headers, ...idle };
  const answer = await asked(here(path), { ...options, headers }, "The server does not answer. What was saved before is not lost.");
  if (answer.ok) return answer;
  const page = answer.status === 401 && /^Form .*page="([^"]+)"/.exec(answer.headers.get("WWW-Authenticate") ?? "");
  if (page) return signIn(page[1]);
  throw await refusal(answer);
}
