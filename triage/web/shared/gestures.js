// Mouse, pen and touch on the image: left drag windows, right or middle drag pans, the wheel zooms.

const WINDOW_PER_PIXEL = 1 / 500;

/** No tool: every drag is the view's. */
const NO_TOOL = { begin: () => false, drag: () => {}, hover: () => {} };

/**
 * Connect a canvas with `view`. `tool` may take left drags for itself: `begin` returns true if it does, `drag` follows;
 * `hover` hears of all moves. Its points are in CSS pixels of the canvas.
 */
export function attach(canvas, view, tool = NO_TOOL) {
  let drag = null;

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    const panning = event.button !== 0 || event.pointerType === "touch";
    const taken = event.button === 0 && tool.begin(...place(event));
    drag = { taken, panning, x: event.clientX, y: event.clientY };
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.toggle("panning", panning && !taken);
    canvas.focus({ preventScroll: true });
    event.preventDefault();
  });

  canvas.addEventListener("pointermove", (event) => {
    tool.hover(...place(event));
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    drag.x = event.clientX;
    drag.y = event.clientY;
    if (drag.taken) tool.drag(...place(event));
    else if (drag.panning) view.pan(dx, dy);
    else view.rewindow(dy * WINDOW_PER_PIXEL, dx * WINDOW_PER_PIXEL);
  });

  const end = () => {
    drag = null;
    canvas.classList.remove("panning");
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  canvas.addEventListener(
    "wheel",
    (event) => {
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
      view.zoomBy(Math.exp((-event.deltaY * lines) / 500), ...place(event));
      event.preventDefault();
    },
    { passive: false },
  );
}
