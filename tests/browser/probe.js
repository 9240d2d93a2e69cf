// What the tests ask of a page. It runs in every page before the page's own scripts.

window.probe = {
  /** The plan as the chart has it. */
  plan() {
    const date = gantt.date.date_to_str("%Y-%m-%d %H:%i");
    const tasks = {};
    const order = {};
    gantt.eachTask(({ id, text, type = "task", start_date, end_date, duration, progress, parent }) => {
      parent = String(parent || 0);
      tasks[id] = { text, type, start_date: date(start_date), end_date: date(end_date), duration, progress: progress || 0, parent };
      (order[parent] ??= []).push(String(id));
    });
    const links = {};
    for (const { id, source, target, type } of gantt.getLinks()) links[id] = [source, target, type].map(String);
    return { tasks, order, links };
  },

  /** Whether edits are on their way. The client keeps what was refused among its updated rows, and
   *  among those in progress a new row that was deleted before its answer came. */
  busy() {
    const modes = Object.values(gantt._dp?.modes ?? {});
    return modes.some(({ updatedRows, _invalid }) => updatedRows.some((id) => !_invalid[id]));
  },

  /** What the client holds and does not show, with what it says of its parent. */
  lost() {
    const shown = new Set();
    gantt.eachTask(({ id }) => shown.add(String(id)));
    const held = Object.values(gantt.$data.tasksStore.pull);
    return held.filter(({ id }) => !shown.has(String(id))).map(({ id, parent }) => [id, parent]);
  },

  edit(id, fields) {
    const task = gantt.getTask(id);
    Object.assign(task, fields);
    if (fields.start_date || fields.end_date) task.duration = gantt.calculateDuration(task);
    gantt.updateTask(id);
  },

  reparent(id, parent, index = 0) {
    gantt.moveTask(id, index, parent);
    gantt.updateTask(id);
  },

  id: (text) => String(gantt.getTaskBy((task) => task.text === text)[0]?.id ?? ""),

  /** Edit one field of some tasks again and again, each time from what the chart shows, for some
   *  seconds or until told to stop. Says how often. */
  async work(field, ids, seconds) {
    const made = Object.fromEntries(ids.map((id) => [id, 0]));
    const end = performance.now() + seconds * 1000;
    probe.stop = false;
    const next = {
      text: (task) => (task.text += "."),
      progress: (task) => (task.progress = Math.round(task.progress * 1000 + 1) / 1000),
      dates(task) {
        task.start_date = gantt.date.add(task.start_date, 1, "day");
        task.end_date = gantt.date.add(task.end_date, 1, "day");
      },
    };
    for (let turn = 0; performance.now() < end && !probe.stop; turn++) {
      const id = ids[turn % ids.length];
      next[field](gantt.getTask(id));
      gantt.updateTask(id);
      made[id]++;
      await new Promise((resolve) => setTimeout(resolve, 40 + Math.random() * 120));
    }
    return made;
  },

  /** Note each text that a row shows, when it is shown. */
  watch(id) {
    const seen = (probe.seen = []);
    const look = () => {
      const shown = document.querySelector(`.gantt_row[data-task-id="${id}"] .gantt_tree_content`)?.textContent;
      if (shown !== seen.at(-1)?.text) seen.push({ text: shown, at: Date.now() });
      requestAnimationFrame(look);
    };
    look();
  },

  /** A page with the snippet listens when the server has taken its subscriptions. */
  async listens() {
    const remote = await remoteEvents.ready();
    await probe.until(() => remote._mode === 3);
    // Answered in its turn, so behind the subscriptions.
    const answered = new Promise((resolve) => {
      remote._socket.addEventListener("message", ({ data }) => JSON.parse(data).action === "result" && resolve());
    });
    remote._socket.send('{"action":"call","body":[]}');
    await answered;
  },

  until: (condition) =>
    new Promise((resolve) => {
      const look = () => (condition() ? resolve() : setTimeout(look, 20));
      look();
    }),
};
