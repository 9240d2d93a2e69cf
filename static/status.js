// What the page tells its user: the state line, and notices that come and go.

const WORDS = {
  connecting: "Connecting…",
  live: "Live",
  reconnecting: "Reconnecting…",
  offline: "Offline",
  refused: "Not allowed to listen",
  reading: "Not live",
};

const line = document.getElementById("state");
const text = document.getElementById("state-text");
const crowd = document.getElementById("people");
const notices = document.getElementById("notices");

export function show(state, waiting) {
  const edits = waiting ? ` – ${waiting} ${waiting === 1 ? "edit" : "edits"} waiting` : "";
  line.dataset.state = waiting && state === "live" ? "reconnecting" : state;
  // A live region speaks whenever it is written to, so it is written to on change only.
  const words = WORDS[state] + edits;
  if (text.textContent !== words) text.textContent = words;
  crowd.hidden = state !== "live" || !crowd.textContent;
}

export function people(count) {
  crowd.textContent = count === 1 ? "only you" : `${count} people`;
  crowd.hidden = line.dataset.state !== "live";
}

export function notice(message, seconds = 10) {
  const same = [...notices.children].find((shown) => shown.dataset.message === message);
  same?.remove();
  const box = document.createElement("div");
  box.className = "notice";
  box.dataset.message = message;
  box.append(message);
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "×";
  close.setAttribute("aria-label", "Close");
  close.onclick = () => box.remove();
  box.append(close);
  notices.append(box);
  setTimeout(() => box.remove(), seconds * 1000);
}
