// Mouse, pen and touch on the image: left drag windows, right or middle drag pans, the wheel zooms.

const WINDOW_PER_PIXEL = 1 / 500;

export function attach(canvas, view) {
  let drag = null;

  canvas.addEventListener("pointerdown", (event) => {
    drag = { panning: event.button !== 0 || event.pointerType === "touch", x: event.clientX, y: event.clientY };
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.toggle("panning", drag.panning);
    canvas.focus({ preventScroll: true });
    event.preventDefault();
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    drag.x = event.clientX;
    drag.y = event.clientY;
    if (drag.panning) view.pan(dx, dy);
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
      const box = canvas.getBoundingClientRect();
      const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1;
      view.zoomBy(Math.exp((-event.deltaY * lines) / 500), event.clientX - box.left, event.clientY - box.top);
      event.preventDefault();
    },
    { passive: false },
  );
}
