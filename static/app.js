// Puts the page together: load, then listen, then let the people work.

import { allowEdits, setUp, showPlan } from "./chart.js";
import { Connection } from "./connection.js";
import { Inbox } from "./inbox.js";
import { Outbox } from "./outbox.js";
import * as signIn from "./sign-in.js";
import * as status from "./status.js";

const device = uuid();

// Not crypto.randomUUID(): on plain http it exists for localhost only.
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The whole plan, as soon as the server gives it: perhaps not before the user has signed in. */
async function fetchPlan() {
  for (;;) {
    try {
      const response = await fetch("data", { headers: signIn.headers(), cache: "no-cache" });
      const answer = await response.json();
      if (response.ok) return answer;
      if (response.status === 403) {
        await signIn.refused(answer.message);
        continue;
      }
      status.notice(`The plan could not be loaded. ${answer.message ?? ""}`);
    } catch {
      // Nobody there, or a proxy that says so in HTML; the state line tells it.
    }
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
}

setUp();

const outbox = new Outbox({
  url: "data",
  headers: () => ({ ...signIn.headers(), "Remote-Device": device }),
  saved: (entity, item) => inbox.learn(entity, item),
  refused: (message, reload) => {
    if (message) status.notice(message);
    if (reload) inbox.reload();
    else inbox.repair();
  },
  settled: () => inbox.flush(),
  stalled: () => {
    show();
    connection.check();
  },
  changed: show,
});

const inbox = new Inbox({
  outbox,
  fetchPlan,
  reloaded: (seq) => connection.open(seq),
});

const connection = new Connection({
  token: signIn.current,
  tab: device,
  channels: {
    tasks: (value) => inbox.receive(value),
    links: (value) => inbox.receive(value),
    presence: (value) => (value.type === "presence" ? status.people(value.count) : inbox.receive(value)),
  },
  greeted: (user, listens) => {
    signIn.show(user);
    allowEdits(user ? user.role !== "viewer" : listens);
  },
  // The token has expired, or was revoked: the load asks for another.
  ended: () => inbox.reload(),
  changed: () => {
    show();
    if (connection.state === "live") outbox.retry();
  },
});

function show() {
  const reading = connection.state === "refused" && !signIn.current();
  status.show(reading ? "reading" : connection.state, outbox.stalled ? outbox.pending().length : 0);
}

addEventListener("online", () => outbox.retry());
addEventListener("beforeunload", (event) => {
  if (outbox.pending().length) event.preventDefault();
});

window.ganttLive = {
  state: () => connection.state,
  pending: () => outbox.pending(),
  device,
};

const plan = await fetchPlan();
showPlan(plan);
connection.open(plan.seq);
