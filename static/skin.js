// The client's stylesheet and its colours.

const DARK = matchMedia("(prefers-color-scheme: dark)");

/** The client's stylesheet, without the fonts that it would fetch from another host. */
export async function load() {
  // A link to it is not enough: browsers fetch the fonts a stylesheet names before they know
  // whether any text asks for them.
  const response = await fetch("vendor/dhtmlxgantt.css");
  const rules = (await response.text()).replace(/@font-face\s*\{[^}]*https?:[^}]*\}/g, "");
  const style = document.createElement("style");
  style.textContent = rules;
  document.querySelector("link[rel=stylesheet]").before(style);
}

export function follow() {
  const set = () => gantt.setSkin(DARK.matches ? "dark" : "terrace");
  DARK.addEventListener("change", set);
  set();
}
