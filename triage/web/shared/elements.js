// Elements of a page.

export const at = (id) => document.getElementById(id);

/** An element with properties and children; null children are left out. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, value);
    else if (name === "dataset") Object.assign(made.dataset, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const newest = new WeakMap();

/** Fill `parent` with the elements of `make`, but not during a press there: a click needs the same element twice. */
export function show(parent, make) {
  newest.set(parent, make);
  const attempt = () => {
    if (newest.get(parent) !== make) return;
    if (parent.matches(":active")) setTimeout(attempt, 50);
    else parent.replaceChildren(...make());
  };
  attempt();
}
