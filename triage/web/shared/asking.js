// Requests of a page to its server, and their responses: JSON, an image, or an error.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Return the response, of any status. Throws Refused with status 0 and the message `silent` without a response. */
export function asked(path, options, silent) {
  return fetch(path, options).catch(() => {
    throw new Refused(0, silent);
  });
}

/** Return the error of a response as Refused, with the message `unsaid` where the server says nothing. */
export async function refusal(answer, unsaid = `The server answered ${answer.status}.`) {
  const content = await answer.json().catch(() => ({}));
  return new Refused(answer.status, content.error || unsaid);
}

/** Return the options of a request that sends `body` as JSON. */
export function posting(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** Return the image of a response: its properties, with the rows and columns of the whole image, and its content. */
export async function picture(answer) {
  const about = JSON.parse(answer.headers.get("X-Picture"));
  const content = await answer.arrayBuffer();
  const { rows, columns, whole } = about;
  const pixels = rows * columns;
  return {
    ...about,
    rows: whole[0],
    columns: whole[1],
    content: {
      rows,
      columns,
      values: new Uint16Array(content, 0, pixels),
      mask: about.masked ? new Uint8Array(content, 2 * pixels, pixels) : null,
    },
  };
}
