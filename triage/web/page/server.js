// Requests of the page to the server.

import { asked, picture, posting, refusal } from "./asking.js";
import { text } from "./texts.js";

export { Refused } from "./asking.js";

// The page may lie below a path of a reverse proxy. The address of this script shows it: BASE/page/server.js.
const BASE = new URL("..", import.meta.url).pathname;

/** Return the address of a path of this service. */
export const here = (path) => BASE + path.slice(1);

/** Return the path of an address: the inverse of `here`. */
export const place = (pathname) => "/" + pathname.slice(BASE.length);

export async function get(path) {
  return (await answered(path)).json();
}

export async function post(path, body, options = {}) {
  return (await answered(path, { ...posting(body), ...options })).json();
}

/** The image at a path; Refused with status 422 if it cannot be shown. */
export async function image(path) {
  return picture(await answered(path));
}

/** Marks of this session in this tab; they go when its user signs out or has to sign in again. */
export const session = {
  has: (name) => kept((storage) => storage.getItem(name)) !== null,
  add: (name) => kept((storage) => storage.setItem(name, "1")),
  end: () => kept((storage) => storage.clear()),
};

function kept(use) {
  try {
    return use(sessionStorage);
  } catch {
    return null; // a browser that keeps nothing
  }
}

let ended = "/sign-in"; // the page of those whose session has ended

/** Have the page be left for another one when its session has ended. */
export const leaveFor = (page) => (ended = page);

let lastInput = Date.now();
for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"]) {
  addEventListener(kind, () => (lastInput = Date.now()), { capture: true, passive: true });
}

/** Go to the sign-in page and clear the screen. */
export function signIn(page = ended) {
  session.end();
  document.body.hidden = true;
  location.replace(`${here(page)}?next=${encodeURIComponent(place(location.pathname))}`);
  return new Promise(() => {});
}

/** Go to the sign-out address of the identity provider. */
export function leave(address) {
  session.end();
  document.body.hidden = true;
  location.replace(address);
  return new Promise(() => {});
}

async function answered(path, options = {}) {
  // Requests without user input must not extend the session.
  const idle = Date.now() - lastInput > 30_000 ? { "X-Triage-Idle": "1" } : {};
  const headers = { "X-Triage-Page": "1", ...options.headers, ...idle };
  const answer = await asked(here(path), { ...options, headers }, text("server.silent"));
  if (answer.ok) return answer;
  const page = answer.status === 401 && /^Form .*page="([^"]+)"/.exec(answer.headers.get("WWW-Authenticate") ?? "");
  if (page) return signIn(page[1]);
  throw await refusal(answer, text("server.answered", { status: String(answer.status) }));
}
