// Light, dark or as the system says. In the head and no module, so that it is known before anything is drawn.
// By browser: a reading room is dark for all who read there, an office is not.

{
  const known = () => {
    try {
      return localStorage.getItem("theme") ?? "";
    } catch {
      return ""; // a browser that keeps nothing
    }
  };
  const choose = (theme) => {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // it holds until the page is left
    }
  };
  document.documentElement.dataset.theme = known();
  addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    if (!select) return;
    select.value = known();
    select.addEventListener("change", () => choose(select.value));
  });
}
