// Keys and buttons of the image, with the same meaning on all pages.

/** Return the name of the pressed key; letters are lower case. */
export const keyOf = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);

/** Return the actions that zoom and pan `view`, by key. */
export const moving = (view) => ({
  "+": () => view.zoomIn(),
  "=": () => view.zoomIn(),
  "-": () => view.zoomOut(),
  ArrowLeft: () => view.pan(60, 0),
  ArrowRight: () => view.pan(-60, 0),
  ArrowUp: () => view.pan(0, 60),
  ArrowDown: () => view.pan(0, -60),
});

/** Return the actions that window `view`, by key with Shift. */
export const windowing = (view) => ({
  ArrowUp: () => view.rewindow(-0.05, 0),
  ArrowDown: () => view.rewindow(0.05, 0),
  ArrowLeft: () => view.rewindow(0, -0.05),
  ArrowRight: () => view.rewindow(0, 0.05),
});

/** Connect the buttons whose data-do names an action of `view`. */
export function attachButtons(view) {
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => view[button.dataset.do]());
  }
}
