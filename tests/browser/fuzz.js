// A user who does anything at all, by what the client offers. The same seed does the same as far
// as the screen allows it: what is done depends on what is shown.

window.fuzz = {
  /** Work for some seconds; returns how much was done. */
  async work(seed, seconds, pause) {
    const random = fuzz.random(seed);
    const end = performance.now() + seconds * 1000;
    let done = 0;
    recorder.begin();
    while (performance.now() < end) {
      const act = fuzz.act(random);
      if (act) {
        recorder.note({ op: act });
        (0, eval)(act);
        done++;
      }
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + random())));
    }
    return done;
  },

  /** What to do next, as a script, so that a record can be played again. */
  act(random) {
    const pick = (list) => list[Math.floor(random() * list.length)];
    const tasks = gantt.getTaskByTime().map(({ id }) => id);
    const id = Number(pick(tasks) ?? 0);
    const other = Number(pick(tasks) ?? 0);
    const number = Math.floor(random() * 1000);
    const fresh = tasks.filter((each) => String(each).length > 9);
    const below = Number(random() < 0.4 && fresh.length ? pick(fresh) : (pick([...tasks, 0]) ?? 0));
    const kind = random();
    if (kind < 0.22 || tasks.length < 6)
      return `gantt.addTask({ id: ${gantt.uid()}, text: "new ${number}", start_date: new Date(2026, 10, ${1 + (number % 28)}), duration: ${1 + (number % 5)} }, ${below})`;
    if (kind < 0.34) return `gantt.deleteTask(${id})`;
    if (kind < 0.52) {
      // Only below older rows: two users who move rows into each other within one round trip make a
      // circle, in which a stock tab turns for ever. No server can prevent it, and README says so.
      if (!(other < id)) return "";
      // Nobody can drag a row that is alone in its branch past itself; the client would lose it.
      if (gantt.getTask(id).parent === other && gantt.getChildren(other).length < 2) return "";
      return `gantt.moveTask(${id}, ${number % 4}, ${other}); gantt.updateTask(${id})`;
    }
    if (kind < 0.66) {
      const type = String(number % 4);
      return fuzz.mayLink(id, other, type) ? `gantt.addLink({ id: ${gantt.uid()}, source: ${id}, target: ${other}, type: "${type}" })` : "";
    }
    if (kind < 0.72) {
      const link = pick(gantt.getLinks());
      return link ? `gantt.deleteLink(${JSON.stringify(link.id)})` : "";
    }
    if (kind < 0.86) return `probe.edit(${id}, { text: "name ${number}" })`;
    // The chart lets nobody drag a phase.
    if (gantt.getTask(id).type === "project") return "";
    return `probe.edit(${id}, { start_date: new Date(2026, 10, ${1 + (number % 20)}), end_date: new Date(2026, 10, ${22 + (number % 8)}) })`;
  },

  /** Whether a link is neither there already nor closes a circle: what is wrong in itself is refused,
   *  and stays on the screen. */
  mayLink(source, target, type) {
    const links = gantt.getLinks();
    if (links.some((link) => link.source == source && link.target == target && link.type === type)) return false;
    const waiting = new Set([String(target)]);
    for (const task of waiting) for (const link of links) if (link.source == task) waiting.add(String(link.target));
    return !waiting.has(String(source));
  },

  /** mulberry32 */
  random(seed) {
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  },
};
