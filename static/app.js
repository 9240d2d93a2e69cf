// Puts the page together: the chart's looks, who uses it, and gantt-live for all that goes to the
// server and comes from it.

import { allowEdits, setUp, showToday } from "./chart.js";
import { connect } from "./gantt-live.js";
import * as signIn from "./sign-in.js";
import * as status from "./status.js";
import * as undo from "./undo.js";

let isKept = false;

function show(now) {
  isKept = now.kept;
  signIn.show(now.state === "refused" ? null : now.user);
  undo.show(now);
  allowEdits(now.user ? now.user.role !== "viewer" : now.state !== "refused");
  status.show(now.state === "refused" && !signIn.current() ? "reading" : now.state, now.waiting);
}

setUp();

const live = await connect(gantt, {
  async token(refusal) {
    if (refusal) await signIn.refused(refusal.message);
    return signIn.current();
  },
  on: {
    state: show,
    presence: ({ type, count }) => type === "presence" && status.people(count),
    error: ({ message }) => status.notice(message),
    left: (left) => new Set(left.map(({ message }) => message)).forEach((message) => status.notice(message)),
  },
});
showToday();
signIn.follow(live);
undo.follow(live);

addEventListener("beforeunload", (event) => {
  // What is kept in the browser is sent when the page is open again.
  if (live.pending().length && !isKept) event.preventDefault();
});

// For the tests, and for whoever looks at the page from the console.
window.ganttLive = live;
