// The edits of this page on their way to the server. The client's dataProcessor says what changed
// and keeps a row's later edits until the earlier one is answered; this brings each to the server,
// however long that takes, and knows the real ids of new rows.

import { exists } from "./plan.js";

const METHODS = { create: "POST", update: "PUT", delete: "DELETE" };
const LONGEST_PAUSE = 8000;
/** Answers of a server, or of a proxy before it, that will do better later. */
const LATER = new Set([429, 502, 503, 504]);

export class Outbox {
  #url;
  #headers;
  #on;
  #dp;
  #realIds = new Map(); // temporary id → promise of the real one, null when refused
  #inserting = 0;
  #stalled = 0;
  #pauses = new Set(); // to be called to try again at once

  constructor({ url, headers, ...on }) {
    this.#url = url;
    this.#headers = headers;
    this.#on = on;
    this.#dp = gantt.createDataProcessor((entity, action, data, id) => this.#send(entity, action, data, id));
    this.#dp.attachEvent("onAfterUpdate", (id, _action, _tid, answer) => this.#answered(id, answer));
  }

  /** Whether an edit is held up, because the server cannot be reached or cannot save. */
  get stalled() {
    return this.#stalled > 0;
  }

  /** Whether a new row waits for its id: an item unknown here may be just that row. */
  get inserting() {
    return this.#inserting > 0;
  }

  /** The ids of all rows and links with an edit that the server has not confirmed. */
  pending() {
    const ids = new Set();
    for (const { updatedRows, _in_progress } of Object.values(this.#dp.modes ?? {})) {
      for (const id of [...updatedRows, ...Object.keys(_in_progress)]) ids.add(String(id));
    }
    return [...ids];
  }

  /** Change the chart without sending anything. */
  quietly(change) {
    // ignore() stays silent for good when its callback throws.
    this.#dp.ignore(() => {
      try {
        change();
      } catch (error) {
        console.error(error);
      }
    });
  }

  retry() {
    for (const proceed of this.#pauses) proceed();
  }

  async #send(entity, action, data, id) {
    const answer = this.#deliver(entity, action, data, id);
    if (action === "create") {
      this.#inserting++;
      this.#realIds.set(String(id), answer.then(({ tid }) => tid ?? null));
    }
    return { ...(await answer), entity, created: action === "create" };
  }

  async #deliver(entity, action, data, id) {
    // The dataProcessor sends an edit that was waiting, also of a new row that is gone by then.
    if (action === "create" && !exists(entity, id)) return { action: "deleted" };
    for (const field of ["parent", "source", "target"]) {
      if (!(await this.#resolve(data, field))) return { action: "error", quiet: true };
    }
    const answer = await this.#request(entity, action, data, id);
    if (action === "create" && answer.action !== "error" && !exists(entity, id)) {
      // Deleted here while it was on its way. The dataProcessor would fail to rename it.
      await this.#request(entity, "delete", {}, answer.tid);
      return { action: "deleted" };
    }
    // Nobody misses what the user has deleted since; a row that was refused has its say.
    if (answer.action === "error" && action !== "delete" && !exists(entity, id)) answer.quiet = true;
    return answer;
  }

  /** Replace the temporary id of a row that is still on its way. False when it was refused. */
  async #resolve(data, field) {
    const [, next = "", id] = /^(next:)?(.*)$/.exec(String(data[field] ?? ""));
    if (!this.#realIds.has(id)) return true;
    const real = await this.#realIds.get(id);
    if (real !== null) data[field] = next ? next + real : real;
    return real !== null;
  }

  async #request(entity, action, data, id) {
    const create = action === "create";
    const url = `${this.#url}/${entity}${create ? "" : `/${id}`}`;
    const headers = { ...this.#headers(), "Content-Type": "application/json" };
    // An answer can be lost on its way; the same row posted again is the same row.
    if (create) headers["Idempotency-Key"] = `${headers["Remote-Device"]}:${id}`;
    const { id: _, ...fields } = data;
    const request = { method: METHODS[action], headers };
    if (action !== "delete") request.body = JSON.stringify(fields);

    let answer = await attempt(url, request);
    if (answer) return answer;
    this.#stalled++;
    for (let wait = 1000; !answer; wait = Math.min(wait * 2, LONGEST_PAUSE)) {
      this.#on.stalled();
      await this.#pause(wait);
      answer = await attempt(url, request);
    }
    this.#stalled--;
    return answer;
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const proceed = () => {
        clearTimeout(timer);
        this.#pauses.delete(proceed);
        resolve();
      };
      const timer = setTimeout(proceed, ms);
      this.#pauses.add(proceed);
    });
  }

  #answered(id, answer) {
    const { entity, created, action, quiet, message, reload, item } = answer;
    if (created) this.#inserting--;
    const waits = this.#dp.modes[entity]._in_progress[id]; // a later edit of the same row is on its way
    if (action === "error" && !waits) {
      this.#forget(entity, id);
      this.#on.refused(quiet ? "" : message, reload);
    } else if (action === "deleted") {
      this.#forget(entity, id);
    } else if (item) {
      this.#on.saved(entity, item);
    }
    this.#on.changed();
    this.#on.settled();
  }

  /** The dataProcessor keeps a refused row marked, and sends it again with the next batch. */
  #forget(entity, id) {
    const { updatedRows, _in_progress, _invalid } = this.#dp.modes[entity];
    const at = updatedRows.findIndex((row) => row == id);
    if (at >= 0) updatedRows.splice(at, 1);
    delete _in_progress[id];
    delete _invalid[id];
    gantt.setUserData(id, this.#dp.action_param, "", entity);
    if (entity === "task" && gantt.isTaskExists(id)) {
      gantt.getTask(id).$dataprocessor_class = "";
      gantt.refreshTask(id);
    }
  }
}

/** The server's answer, or null when it should be asked again. */
async function attempt(url, request) {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(30000) });
    if (LATER.has(response.status)) return null;
    const text = await response.text();
    const answer = parse(text);
    if (answer?.action) return answer;
    return { action: "error", message: `The change was not saved: the server answered ${response.status}.` };
  } catch {
    return null;
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
