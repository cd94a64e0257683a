// Windows by name, from the values of the image.

const ENOUGH = 256; // pixels on a side: more change no percentile that is seen

/** Names of the presets, in the order of their key. */
export const PRESETS = ["opened", "everything", "middle", "narrow", "wide"];

/** Return level and width of a preset for `image`; its pyramid has the averages. */
export function windowOf(name, image, pyramid) {
  const opened = { level: (image.black + image.white) / 2, width: Math.abs(image.white - image.black) };
  if (name === "narrow") return { ...opened, width: Math.max(opened.width / 2, 1) };
  if (name === "wide") return { ...opened, width: opened.width * 2 };
  if (name === "opened") return opened;
  const [low, high] = name === "everything" ? [0, 1] : [0.01, 0.99];
  const values = seen(pyramid.at(ENOUGH / Math.max(image.columns, image.rows)));
  if (!values.length) return opened;
  const [from, to] = [low, high].map((share) => values[Math.round(share * (values.length - 1))]);
  return { level: (from + to) / 2, width: Math.max(to - from, 1) };
}

function seen({ values, mask }) {
  return (mask ? values.filter((_, index) => mask[index]) : values.slice()).sort();
}
