// Where an image lies on a canvas: zoom, centre, quarter turns and mirror image. Points of the canvas are in canvas
// pixels, those of the image in pixels of the whole image.

const COSINES = [1, 0, -1, 0];
const SINES = [0, 1, 0, -1];

/** An upright placement; `centre` is the point of the image in the middle of the canvas, `turns` are clockwise. */
export const upright = () => ({ zoom: 1, centre: { x: 0, y: 0 }, turns: 0, mirrored: false });

/** Turn a step of the image into one of the canvas, without the zoom. */
export function turned({ turns, mirrored }, { x, y }) {
  const across = mirrored ? -x : x;
  return { x: COSINES[turns] * across - SINES[turns] * y, y: SINES[turns] * across + COSINES[turns] * y };
}

/** Turn a step of the canvas into one of the image, without the zoom: the inverse of `turned`. */
export function unturned({ turns, mirrored }, { x, y }) {
  const across = COSINES[turns] * x + SINES[turns] * y;
  return { x: mirrored ? -across : across, y: COSINES[turns] * y - SINES[turns] * x };
}

/** Return the point of a canvas of `width` by `height` at which a point of the image lies. */
export function toCanvas(placement, { width, height }, point) {
  const { zoom, centre } = placement;
  const step = turned(placement, { x: point.x - centre.x, y: point.y - centre.y });
  return { x: width / 2 + step.x * zoom, y: height / 2 + step.y * zoom };
}

/** Return the point of the image at a point of the canvas. */
export function toImage(placement, { width, height }, point) {
  const { zoom, centre } = placement;
  const step = unturned(placement, { x: (point.x - width / 2) / zoom, y: (point.y - height / 2) / zoom });
  return { x: centre.x + step.x, y: centre.y + step.y };
}

/** Return the part of the image in a box of the canvas: left, top, right, bottom. */
export function partIn(placement, size, { left, top, right, bottom }) {
  const one = toImage(placement, size, { x: left, y: top });
  const other = toImage(placement, size, { x: right, y: bottom });
  return {
    left: Math.min(one.x, other.x),
    top: Math.min(one.y, other.y),
    right: Math.max(one.x, other.x),
    bottom: Math.max(one.y, other.y),
  };
}

/** Have `context` draw in pixels of the image that are `factor` times as large as those of the whole one. */
export function drawIn(context, placement, size, factor) {
  const scale = placement.zoom * factor;
  const across = turned(placement, { x: scale, y: 0 });
  const down = turned(placement, { x: 0, y: scale });
  let { x, y } = toCanvas(placement, size, { x: 0, y: 0 });
  if (scale === 1) [x, y] = [Math.round(x), Math.round(y)]; // pixel on pixel, nothing in between
  context.setTransform(across.x, across.y, down.x, down.y, x, y);
}

/** Return the placement with which the point at `held` of the canvas stays where it is at another zoom. */
export function zoomedAt(placement, size, held, zoom) {
  const point = toImage(placement, size, held);
  const step = unturned(placement, { x: (held.x - size.width / 2) / zoom, y: (held.y - size.height / 2) / zoom });
  return { ...placement, zoom, centre: { x: point.x - step.x, y: point.y - step.y } };
}

/** Return the placement turned by 90 degrees clockwise on the screen. */
export const rotated = (placement) => ({ ...placement, turns: (placement.turns + 1) % 4 });

/** Return the placement mirrored on the screen: left and right are exchanged there. */
export const flipped = (placement) => ({ ...placement, turns: (4 - placement.turns) % 4, mirrored: !placement.mirrored });
