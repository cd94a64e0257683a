// Keys and buttons of the image that mean the same on all pages.

/** The name of the key that was pressed; letters are small ones. */
export const keyOf = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);

/** What zooms and pans `view`, by key. */
export const moving = (view) => ({
  "+": () => view.zoomIn(),
  "=": () => view.zoomIn(),
  "-": () => view.zoomOut(),
  ArrowLeft: () => view.pan(60, 0),
  ArrowRight: () => view.pan(-60, 0),
  ArrowUp: () => view.pan(0, 60),
  ArrowDown: () => view.pan(0, -60),
});

/** What windows `view`, by key with Shift. */
export const windowing = (view) => ({
  ArrowUp: () => view.rewindow(-0.05, 0),
  ArrowDown: () => view.rewindow(0.05, 0),
  ArrowLeft: () => view.rewindow(0, -0.05),
  ArrowRight: () => view.rewindow(0, 0.05),
});

/** The buttons of the page that name, in data-do, what `view` is to do. */
export function attachButtons(view) {
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => view[button.dataset.do]());
  }
}
