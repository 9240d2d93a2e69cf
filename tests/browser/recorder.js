// Records what a page sees: its user's acts, the frames and the answers, each with its time.

window.recorder = {
  steps: [],
  begun: 0,

  note(step) {
    recorder.steps.push({ ...step, at: Math.round(performance.now() - recorder.begun) });
  },

  /** What the user does from here on starts from this plan. */
  begin() {
    recorder.begun = performance.now();
    recorder.steps.length = 0;
    const { data, links } = gantt.serialize();
    recorder.plan = { tasks: data, links };
    recorder.watch();
  },

  /** Note when the client begins or ends to hold rows that it does not show, or to save nothing. */
  watch() {
    let before = "";
    setInterval(() => {
      const state = recorder.state();
      const now = JSON.stringify(state);
      if (now !== before) recorder.note({ state });
      before = now;
    }, 10);
  },

  /** What a step left behind beside the plan: rows that are held and not shown, a mode that is off. */
  state: () => ({ lost: probe.lost(), mode: gantt._dp.updateMode, silent: gantt._dp._silent_mode }),

  case: (what) => ({ what, ...recorder.plan, steps: recorder.steps, state: recorder.state() }),
};

addEventListener("error", ({ message }) => recorder.note({ error: message }));
{
  const { error } = console;
  console.error = (...args) => {
    recorder.note({ error: String(args[0]?.stack ?? args[0]).slice(0, 900) });
    error.apply(console, args);
  };
}
{
  const { open, send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, url, ...rest) {
    this.recorded = `${method} ${new URL(url, location).pathname}`;
    return open.call(this, method, url, ...rest);
  };
  XMLHttpRequest.prototype.send = function (body) {
    recorder.note({ request: this.recorded });
    // Before the client's own listener, so that the answer stands before what follows from it.
    this.addEventListener("readystatechange", () => {
      if (this.readyState !== 4) return;
      let answer = null;
      try {
        answer = JSON.parse(this.responseText);
      } catch {
        // The line was cut, or it is not an answer of ours.
      }
      recorder.note({ answer: this.recorded, status: this.status, body: answer });
    });
    return send.call(this, body);
  };

  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({ data }) => {
        const { action, body } = JSON.parse(data);
        if (action === "event") recorder.note({ event: body.name, value: body.value });
      });
    }
  };
}
