// What the page asks of the server.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function get(path) {
  return (await asked(path)).json();
}

export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return (await asked(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

/** The image at a path; Refused with status 422 if it cannot be shown. */
export async function image(path) {
  const answer = await asked(path);
  const about = JSON.parse(answer.headers.get("X-Picture"));
  const content = await answer.arrayBuffer();
  const pixels = about.rows * about.columns;
  return {
    ...about,
    values: new Uint16Array(content, 0, pixels),
    mask: about.masked ? new Uint8Array(content, 2 * pixels, pixels) : null,
  };
}

let lastInput = Date.now();
for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"]) {
  addEventListener(kind, () => (lastInput = Date.now()), { capture: true, passive: true });
}

/** To the page on which one signs in; what was on the screen goes. */
export function signIn(page = "/sign-in") {
  document.body.hidden = true;
  location.replace(`${page}?next=${encodeURIComponent(location.pathname)}`);
  return new Promise(() => {});
}

async function asked(path, options = {}) {
  // What the page asks by itself keeps no session alive: only what somebody does.
  const idle = Date.now() - lastInput > 30_000 ? { "X-Triage-Idle": "1" } : {};
  const headers = { "X-Triage-Page": "1", ...options.headers, ...idle };
  const answer = await fetch(path, { ...options, headers }).catch(() => {
    throw new Refused(0, "The server does not answer. What was saved before is not lost.");
  });
  if (answer.ok) return answer;
  const page = answer.status === 401 && /^Form .*page="([^"]+)"/.exec(answer.headers.get("WWW-Authenticate") ?? "");
  if (page) return signIn(page[1]);
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, said.error || `The server answered ${answer.status}.`);
}
