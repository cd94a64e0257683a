// The reader's path through the cases. `number` is the case on the screen, `answer` its saved answer.

import { Clock } from "./clock.js";
import { at, element } from "./elements.js";
import { attach } from "./gestures.js";
import { attachButtons, keyOf, moving, windowing } from "./keys.js";
import * as server from "./server.js";
import { View } from "./view.js";

const view = new View(at("image"));

let clock;
let total = 0;
let position = 0; // the first case without an answer, as the server says
let number = 0;
let answer = null;
let broken = null; // why the image cannot be shown
let shown = false; // the image is on the screen
let busy = false; // a step is under way
let again = null; // what to try again
const images = new Map();

// Steps.

async function begin() {
  const found = await server.state();
  clock = new Clock(found.idle_seconds * 1000);
  clock.show(!document.hidden);
  ({ total, position } = found);
  number = position;
  at("reader").textContent = found.reader;
  at("progress").max = total;
  if (number < total) fetched(number).catch(() => {});
  render();
  welcome(found.idle_seconds);
}

async function open() {
  shown = false;
  broken = null;
  view.show(null);
  clock.stop();
  render();
  if (number >= total) return finish();
  at("waiting").hidden = false;
  const wanted = number;
  try {
    const image = await fetched(wanted);
    if (wanted !== number) return;
    view.show(image);
  } catch (error) {
    if (wanted !== number) return;
    if (error.status !== 422) throw error;
    broken = error.message;
  } finally {
    at("waiting").hidden = true;
  }
  shown = true;
  clock.drop();
  if (!at("cover").open) clock.start();
  render();
  ahead();
}

async function say(what) {
  if (!shown || (broken && what !== "unreadable") || number >= total) return;
  // The clock stops with an answer, and continues if the reader reconsiders.
  await save("answer", { answer: what });
  answer = what;
  clock.stop();
  at("said").textContent = what === "unreadable" ? "Saved: cannot be shown." : `Saved: ${what}.`;
  render();
  if (what !== "unreadable") at("next").focus();
}

async function undo() {
  if (position === 0) return;
  const looking = answer === null ? number : null;
  await save("undo", {});
  at("said").textContent = looking === null ? "Taken back." : "Back at the case before; its answer is taken back.";
  answer = null;
  if (number !== position) {
    number = position;
    if (at("cover").open) at("cover").close();
    await open();
  } else {
    clock.start();
    render();
  }
  at("image").focus();
}

async function next() {
  if (number >= total || !shown) return;
  if (broken && answer === null) await say("unreadable");
  if (answer === null) {
    at("said").textContent = "Answer first: N is normal, A is abnormal.";
    return;
  }
  images.delete(number - 1);
  number += 1;
  answer = null;
  at("said").textContent = "";
  at("image").focus();
  await open();
}

async function save(kind, more) {
  const found = await server.step(kind, { number, ...clock.peek(), ...more });
  clock.drop();
  ({ total, position } = found);
}

function fetched(which) {
  if (!images.has(which)) {
    const coming = server.image(which);
    images.set(which, coming);
    coming.catch(() => images.delete(which)); // ask anew when it is wanted
  }
  return images.get(which);
}

/** Fetch the next case while this one is read. */
function ahead() {
  if (number + 1 < total) fetched(number + 1).catch(() => {});
  for (const which of images.keys()) if (Math.abs(which - number) > 1) images.delete(which);
}

/** Run one step at a time; an error is shown, and the step can be repeated. */
async function run(doing) {
  if (busy) return;
  busy = true;
  at("trouble").hidden = true;
  again = null;
  try {
    await doing();
  } catch (error) {
    if (!(error instanceof server.Refused)) throw error;
    // If the step was saved and only its image failed, repeat the image.
    const retry = shown || !clock ? doing : open;
    again = error.status === 409 ? () => location.reload() : () => run(retry);
    at("again").textContent = error.status === 409 ? "Load anew" : "Try again";
    at("trouble-text").textContent = error.message;
    at("trouble").hidden = false;
    at("again").focus();
  } finally {
    busy = false;
  }
}

// Display.

function render() {
  const done = number >= total;
  at("place").textContent = done ? `${total} of ${total} read` : `Case ${number + 1} of ${total}`;
  at("progress").value = position;
  at("image").setAttribute("aria-label", done ? "No case" : `Radiograph of case ${number + 1} of ${total}`);
  at("broken").hidden = !broken;
  at("broken").textContent = broken ? `This image cannot be shown: ${broken}. Go on with the next case.` : "";
  for (const what of ["normal", "abnormal"]) {
    at(what).disabled = !shown || done || Boolean(broken);
    at(what).setAttribute("aria-pressed", String(answer === what));
  }
  at("undo").disabled = position === 0;
  at("next").disabled = done || !shown || (answer === null && !broken);
}

view.onDraw = () => {
  at("view").textContent = view.text;
  at("image").dataset.state = JSON.stringify(view.state);
};

// The cover: before the first case, in a pause and after the last. It hides the case.

function cover(title, lines, button, keys = true) {
  at("cover-title").textContent = title;
  at("cover-text").replaceChildren(...lines.map((line) => element("p", {}, line)));
  at("cover-keys").hidden = !keys;
  at("go").textContent = button;
  if (!at("cover").open) at("cover").showModal();
  // At the end, one Enter too many must not undo an answer.
  at(number < total ? "go" : "cover-title").focus();
}

function welcome(idleSeconds) {
  if (number >= total) return finish();
  const begun = position > 0;
  cover(
    begun ? `Welcome back: ${position} of ${total} cases are read` : `${total} chest radiographs to read`,
    [
      "Read each image by itself and say whether it is normal or abnormal. You see no report, no model and no other " +
        "reader, and your answers are not shown to others until the study is over.",
      "Each answer is saved at once. You can stop at any time and go on later with the same link.",
      `The time for each case is taken. Time in which you touch nothing for more than ${idleSeconds} seconds, pauses and ` +
        "time in other tabs are left out.",
    ],
    begun ? `Go on with case ${number + 1}` : "Begin",
  );
}

function pause() {
  if (number >= total || at("cover").open) return;
  clock.stop();
  cover("Paused", ["The clock stands."], "Go on");
}

function finish() {
  clock.stop();
  const count = total === 1 ? "The case is read." : `All ${total} cases are read.`;
  cover("Thank you", [`${count} Your answers are saved, and you can close this page.`], "Take the last answer back", false);
}

function uncover() {
  at("cover").close();
  at("image").focus();
  if (number >= total) return run(undo);
  if (!shown) return run(open);
  if (answer === null) clock.start();
}

// Input.

const KEYS = {
  n: () => run(() => say("normal")),
  a: () => run(() => say("abnormal")),
  u: () => run(undo),
  Backspace: () => run(undo),
  Enter: () => run(next),
  " ": () => run(next),
  p: pause,
  "?": pause,
  h: pause,
  ...moving(view),
  0: () => view.fit(),
  1: () => view.actual(),
  i: () => view.invert(),
  r: () => view.reset(),
};
const SHIFTED = windowing(view);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || at("cover").open) return;
  const onButton = event.target instanceof HTMLButtonElement;
  if (onButton && (event.key === "Enter" || event.key === " ")) return; // that presses the button
  const key = keyOf(event);
  const doing = (event.shiftKey && SHIFTED[key]) || KEYS[key];
  if (!doing || (event.repeat && !key.startsWith("Arrow") && !"+=-".includes(key))) return;
  event.preventDefault();
  doing();
});

at("cover").addEventListener("cancel", (event) => {
  event.preventDefault(); // Escape: as the button, except that it undoes nothing
  if (number < total) uncover();
});
at("go").addEventListener("click", uncover);
at("normal").addEventListener("click", KEYS.n);
at("abnormal").addEventListener("click", KEYS.a);
at("undo").addEventListener("click", KEYS.u);
at("next").addEventListener("click", KEYS.Enter);
at("pause").addEventListener("click", pause);
at("keys").addEventListener("click", pause);
at("again").addEventListener("click", () => again?.());
attachButtons(view);
attach(at("image"), view);

// Time.

for (const kind of ["pointermove", "pointerdown", "wheel", "keydown"]) {
  document.addEventListener(kind, () => clock?.touch(), { capture: true, passive: true });
}
document.addEventListener("visibilitychange", () => clock?.show(!document.hidden));
setInterval(() => (at("clock").hidden = !clock?.idle), 1000);

// Time on a case without an answer counts too when the reader returns to it.
addEventListener("pagehide", () => {
  if (!shown || answer !== null || number >= total) return;
  const times = clock.peek();
  if (times.elapsed_ms > 0) server.looked({ number, ...times });
  clock.drop();
});

run(begin);
