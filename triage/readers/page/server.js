// What the page asks of the server, relative to the reader's own link.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function state() {
  return (await asked("state")).json();
}

/** The image of a case; Refused with status 422 if it cannot be shown. */
export async function image(number) {
  const answer = await asked(`cases/${number}`);
  const about = JSON.parse(answer.headers.get("X-Picture"));
  const content = await answer.arrayBuffer();
  const pixels = about.rows * about.columns;
  return {
    ...about,
    values: new Uint16Array(content, 0, pixels),
    mask: about.masked ? new Uint8Array(content, 2 * pixels, pixels) : null,
  };
}

/** Take a step (answer, undo); what the server answers when it is on the disk. */
export async function step(kind, body) {
  const headers = { "Content-Type": "application/json" };
  return (await asked(kind, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

/** Tell the time spent on a case that is being left; the page may be gone before an answer comes. */
export function looked(body) {
  navigator.sendBeacon("looked", new Blob([JSON.stringify(body)], { type: "application/json" }));
}

async function asked(path, options = {}) {
  const answer = await fetch(path, options).catch(() => {
    throw new Refused(0, "The server does not answer, and this step is not saved. What was saved before is not lost.");
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, said.error || `The server answered ${answer.status}.`);
}
