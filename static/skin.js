// The client's colours.

const DARK = matchMedia("(prefers-color-scheme: dark)");

export function follow() {
  const set = () => gantt.setSkin(DARK.matches ? "dark" : "terrace");
  DARK.addEventListener("change", set);
  set();
}
