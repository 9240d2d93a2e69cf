// A page without a server, for a record of recorder.js: what a step says is done at its time, on a
// clock that goes as fast as it can. It runs before the client.

window.replay = {
  now: 0,
  timers: new Map(),
  unanswered: [],
  errors: [],

  /** Play a case; returns what is wrong in the end, "" for nothing. */
  play({ tasks, links, steps }) {
    gantt.config.date_format = "%Y-%m-%d %H:%i";
    gantt.init("gantt_here");
    gantt.parse({ tasks: structuredClone(tasks), links: structuredClone(links ?? []) });
    gantt.createDataProcessor({ url: "/data", mode: "REST-JSON" });
    for (const step of structuredClone(steps)) {
      replay.advance(step.at);
      replay.attempt(() => replay.step(step));
    }
    replay.advance(replay.now + 1000);
    return replay.fault(tasks, links ?? [], steps);
  },

  step({ op, event, value, answer, status, body }) {
    if (op) (0, eval)(op);
    else if (event) gantt.ext.liveUpdates.remoteUpdates[event]?.(value);
    else if (answer) {
      const at = replay.unanswered.findIndex(({ what }) => what === answer);
      if (at < 0) return;
      replay.unanswered.splice(at, 1)[0].end(status, JSON.stringify(body));
    }
  },

  /** What a page should not come to: it saves nothing, holds rows unseen, or shows an item otherwise
   *  than it was told last. */
  fault(tasks, links, steps) {
    if (gantt._dp.updateMode === "off") return "the mode is off";
    if (probe.lost().length) return `held and not shown: ${JSON.stringify(probe.lost())}`;
    const told = new Map();
    for (const { event, value } of steps) {
      const item = event && (value.task ?? value.link);
      if (item && value.type !== "move-task") told.set(`${event} ${item.id}`, value.type.startsWith("delete") ? null : item);
    }
    const plan = probe.plan();
    for (const [key, item] of told) {
      const [kind, id] = key.split(" ");
      const shown = plan[kind]?.[id];
      if (!item && shown) return `not deleted: ${key}`;
      if (item && !shown) return `not there: ${key}`;
      if (item && kind === "tasks" && shown.parent !== String(item.parent)) return `elsewhere: ${key}`;
    }
    return "";
  },

  attempt(code) {
    try {
      code();
    } catch (error) {
      replay.errors.push(String(error.stack));
    }
  },

  advance(to) {
    for (;;) {
      const [id, next] = [...replay.timers].sort(([, a], [, b]) => a.due - b.due)[0] ?? [];
      if (!next || next.due > to) break;
      replay.timers.delete(id);
      replay.now = Math.max(replay.now, next.due);
      replay.attempt(next.code);
    }
    replay.now = Math.max(replay.now, to);
  },
};

{
  let last = 0;
  window.setTimeout = (code, delay = 0, ...args) => {
    replay.timers.set(++last, { due: replay.now + delay, code: () => code(...args) });
    return last;
  };
  window.clearTimeout = (id) => replay.timers.delete(id);

  window.XMLHttpRequest = class {
    open(method, url) {
      this.what = `${method} ${new URL(url, location).pathname}`;
    }
    setRequestHeader() {}
    getAllResponseHeaders = () => "";
    addEventListener() {}
    send() {
      replay.unanswered.push(this);
    }
    end(status, text) {
      Object.assign(this, { status, readyState: 4, responseText: text, responseXML: null });
      this.onreadystatechange?.();
      this.onload?.();
    }
  };
}
