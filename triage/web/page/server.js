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
  const headers = { "Content-Type": "application/json", "X-Triage-Page": "1" };
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

async function asked(path, options = {}) {
  const answer = await fetch(path, options).catch(() => {
    throw new Refused(0, "The server does not answer. What was saved before is not lost.");
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, said.error || `The server answered ${answer.status}.`);
}
