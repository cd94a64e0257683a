// What a page tells its reader of acts: an error, which stays and can be tried again, and a short message.

import { at, element } from "./elements.js";
import * as server from "./server.js";
import { TEXTS } from "./reading.js";

const MESSAGE_MS = 6000;
const UNDO_MS = 15_000;

let again = null;
let undoing = null;
let timer = null;

/** Do something; an error of the server is shown, and what was done can be repeated. */
export async function run(doing) {
  at("trouble").hidden = true;
  try {
    await doing();
  } catch (error) {
    if (!(error instanceof server.Refused)) throw error;
    again = () => run(doing);
    at("trouble-text").textContent = error.message;
    at("trouble").hidden = false;
  }
}

/** Show a message; `takingBack` takes back what it tells of, while it is there. */
export function toast(message, takingBack = null) {
  at("toast").replaceChildren(message, ...(takingBack ? [" ", undoButton] : []));
  at("toast").hidden = false;
  undoing = takingBack;
  clearTimeout(timer);
  timer = setTimeout(endToast, takingBack ? UNDO_MS : MESSAGE_MS);
}

function endToast() {
  at("toast").hidden = true;
  undoing = null;
}

/** Take back what the message on the screen tells of, if it can be. */
export function undo() {
  const taking = undoing;
  if (!taking) return;
  endToast();
  run(taking);
}

const undoButton = element("button", { type: "button", id: "undo" }, element("kbd", {}, "U"), ` ${TEXTS.undo}`);
undoButton.addEventListener("click", undo);
at("again").addEventListener("click", () => again?.());
