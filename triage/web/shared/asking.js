// What a page asks of its server, and what comes back: JSON, an image, or why not.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** What the server answers, whatever it is. Refused with status 0 and the message `silent` if it does not answer. */
export function asked(path, options, silent) {
  return fetch(path, options).catch(() => {
    throw new Refused(0, silent);
  });
}

/** Why the server did not do it, as Refused. */
export async function refusal(answer) {
  const said = await answer.json().catch(() => ({}));
  return new Refused(answer.status, said.error || `The server answered ${answer.status}.`);
}

/** The options of a request that sends `body`. */
export function posting(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** The image that an answer holds: values, mask or null, and what the server says about it. */
export async function picture(answer) {
  const about = JSON.parse(answer.headers.get("X-Picture"));
  const content = await answer.arrayBuffer();
  const pixels = about.rows * about.columns;
  return {
    ...about,
    values: new Uint16Array(content, 0, pixels),
    mask: about.masked ? new Uint8Array(content, 2 * pixels, pixels) : null,
  };
}
