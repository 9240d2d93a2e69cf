// Undo and redo: the buttons, and the keys that people know.

const buttons = { undo: document.getElementById("undo"), redo: document.getElementById("redo") };

export function show(now) {
  for (const [name, button] of Object.entries(buttons)) button.disabled = !now[name];
}

export function follow(live) {
  for (const [name, button] of Object.entries(buttons)) button.addEventListener("click", () => live[name]());
  addEventListener("keydown", (event) => {
    const name = named(event);
    // A field has an undo of its own.
    if (!name || event.target.closest("input, textarea, select, dialog, .gantt_cal_light")) return;
    event.preventDefault();
    live[name]();
  });
}

function named({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  if (altKey || !(ctrlKey || metaKey)) return null;
  if (key.toLowerCase() === "z") return shiftKey ? "redo" : "undo";
  return key === "y" ? "redo" : null;
}
