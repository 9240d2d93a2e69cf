// Puts the page together: load, then listen, then let the people work.

import { setUp, showPlan } from "./chart.js";
import { Connection } from "./connection.js";
import { Inbox } from "./inbox.js";
import { Outbox } from "./outbox.js";
import * as status from "./status.js";

const token = document.querySelector("meta[name=gantt-token]").content;
const device = uuid();

// Not crypto.randomUUID(): on plain http it exists for localhost only.
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The whole plan, as soon as the server gives it. */
async function fetchPlan() {
  for (;;) {
    try {
      const response = await fetch("data", { headers: { "Remote-Token": token }, cache: "no-cache" });
      const answer = await response.json();
      if (response.ok) return answer;
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
  headers: { "Remote-Token": token, "Remote-Device": device },
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
  token,
  tab: device,
  channels: {
    tasks: (value) => inbox.receive(value),
    links: (value) => inbox.receive(value),
    presence: (value) => (value.type === "presence" ? status.people(value.count) : inbox.receive(value)),
  },
  changed: () => {
    show();
    if (connection.state === "live") outbox.retry();
  },
});

function show() {
  status.show(connection.state, outbox.stalled ? outbox.pending().length : 0);
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
