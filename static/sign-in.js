// Who uses the page: a token that this tab keeps for itself, and the form that asks for one.

const KEPT = "gantt-token";

const dialog = document.getElementById("sign-in");
const form = dialog.querySelector("form");
const field = form.elements.token;
const trouble = document.getElementById("sign-in-trouble");
const who = document.getElementById("who");
const opener = document.getElementById("open-sign-in");

/** The page's own token, the demo's, is tried where this tab has none. */
const given = document.querySelector("meta[name=gantt-token]").content;
let token = sessionStorage.getItem(KEPT) ?? given;
let asking = null;
let isNeeded = false;

export const current = () => token;

/** The token was refused. Resolves when there is another to try: nobody's, then the user's. */
export function refused(message) {
  if (token && token === given && !sessionStorage.getItem(KEPT)) {
    token = "";
    return Promise.resolve();
  }
  return ask(sessionStorage.getItem(KEPT) ? message : "", true);
}

/** What the server says of the user; null for nobody. */
export function show(user) {
  who.hidden = !user;
  opener.hidden = Boolean(user) || dialog.open;
  if (!user) return;
  const name = user.display || user.name;
  const badge = document.getElementById("who-badge");
  badge.textContent = initials(name);
  badge.style.backgroundColor = user.color;
  document.getElementById("who-name").textContent = name;
  who.title = `${name} (${user.role})`;
  // The page's own token would sign the user in again at once.
  document.getElementById("sign-out").hidden = !sessionStorage.getItem(KEPT);
}

function ask(message, must) {
  trouble.textContent = message;
  isNeeded = must;
  asking ??= new Promise((resolve) => {
    if (must) show(null);
    field.value = "";
    dialog.showModal();
    opener.hidden = true;
    form.onsubmit = (event) => {
      event.preventDefault();
      keep(field.value.trim());
      field.value = "";
      asking = null;
      dialog.close();
      resolve();
    };
  });
  return asking;
}

function keep(entered) {
  token = entered;
  sessionStorage.setItem(KEPT, token);
}

function initials(name) {
  const words = name.split(/[\s._@-]+/).filter(Boolean);
  return [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "").join("").toUpperCase();
}

// Closed with Escape. Without a token there would be a page that shows nothing.
dialog.addEventListener("close", () => {
  if (!asking) return;
  if (isNeeded) return dialog.showModal();
  asking = null;
  opener.hidden = !who.hidden;
});
opener.addEventListener("click", () => ask("", false).then(() => location.reload()));

/** Signing out asks first what becomes of edits that are not saved. */
export function follow(live) {
  const unsaved = document.getElementById("unsaved");
  const on = (id, action) => document.getElementById(id).addEventListener("click", action);
  const wait = document.getElementById("unsaved-wait");
  const signOut = () => {
    sessionStorage.removeItem(KEPT);
    location.reload();
  };
  on("sign-out", () => {
    const count = live.pending().length;
    if (!count) return signOut();
    document.getElementById("unsaved-count").textContent =
      `${count} of your edits ${count === 1 ? "has" : "have"} not reached the server. Whoever uses this browser next does not send ${count === 1 ? "it" : "them"} for you.`;
    wait.textContent = "";
    unsaved.showModal();
  });
  on("unsaved-send", async () => {
    wait.textContent = "Waiting for the server…";
    await live.flush();
    if (unsaved.open) signOut();
  });
  on("unsaved-discard", () => live.discard().then(signOut));
}
