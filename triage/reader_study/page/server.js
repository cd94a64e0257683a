// Requests of the page to the server, relative to the reader's own link.

import { asked, picture, posting, refusal } from "./asking.js";

export { Refused } from "./asking.js";

const SILENT = "The server does not answer, and this step is not saved. What was saved before is not lost.";

export async function state() {
  return (await answered("state")).json();
}

/** The image of a case; Refused with status 422 if it cannot be shown. */
export async function image(number) {
  return picture(await answered(`cases/${number}`));
}

/** Send a step (answer, undo) and return the response, which comes when it is on the disk. */
export async function step(kind, body) {
  return (await answered(kind, posting(body))).json();
}

/** Send the time spent on a case that is being left; the page may be closed before the response. */
export function looked(body) {
  navigator.sendBeacon("looked", new Blob([JSON.stringify(body)], { type: "application/json" }));
}

async function answered(path, options) {
  const answer = await asked(path, options, SILENT);
  if (answer.ok) return answer;
  throw await refusal(answer);
}
