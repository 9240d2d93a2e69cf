// A user of the Scheduler who does anything at all, by what the client offers. It runs behind
// fuzz.js, whose random numbers it uses.

window.calendarFuzz = {
  /** Work for some seconds; returns how much was done. */
  async work(seed, seconds, pause) {
    const random = fuzz.random(seed);
    const end = performance.now() + seconds * 1000;
    let done = 0;
    while (performance.now() < end) {
      if (calendarFuzz.act(random)) done++;
      await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + random())));
    }
    return done;
  },

  act(random) {
    const pick = (list) => list[Math.floor(random() * list.length)];
    const number = Math.floor(random() * 1000);
    const day = 12 + (number % 28);
    const at = (hour, more = 0) => new Date(2027, 3, day + more, hour, 5 * (number % 12));
    const rows = Object.values(scheduler._events).filter(({ id, deleted }) => !deleted && !String(id).includes("#"));
    const series = rows.filter(({ rrule, recurring_event_id }) => rrule && !recurring_event_id);
    const single = rows.filter(({ rrule, recurring_event_id }) => !rrule && !recurring_event_id);
    const kind = random();
    if (kind < 0.25 || rows.length < 4) {
      scheduler.addEvent({ text: `new ${number}`, start_date: at(9), end_date: at(10) });
      return true;
    }
    if (kind < 0.33) {
      scheduler.addEvent({ text: `series ${number}`, start_date: at(8), end_date: at(8, 5), rrule: "FREQ=DAILY;INTERVAL=1", duration: 3600 });
      return true;
    }
    if (kind < 0.55) return calendarFuzz.edit(pick(single), (event) => (event.text = `name ${number}`));
    if (kind < 0.7)
      return calendarFuzz.edit(pick(single), (event) => {
        event.start_date = at(11);
        event.end_date = at(12);
      });
    if (kind < 0.8) {
      const event = pick(single);
      if (event) scheduler.deleteEvent(event.id);
      return Boolean(event);
    }
    if (kind < 0.86) return calendarFuzz.edit(pick(series), (event) => (event.text = `all ${number}`));
    if (kind < 0.9) {
      const event = pick(series);
      if (event) scheduler.deleteEvent(event.id);
      return Boolean(event);
    }
    const chosen = pick(series);
    const shown = pick(scheduler.getEvents(new Date(2027, 3, 12), new Date(2027, 4, 17)).filter(({ id }) => chosen && String(id).startsWith(`${chosen.id}#`)));
    const one = shown && scheduler.getEvent(shown.id);
    if (!one) return false;
    if (kind < 0.95) scheduler.deleteEvent(one.id);
    else {
      one.start_date = scheduler.date.add(one.start_date, 2, "hour");
      one.end_date = scheduler.date.add(one.end_date, 2, "hour");
      scheduler.callEvent("onEventChanged", [one.id, one]);
    }
    return true;
  },

  edit(event, change) {
    if (!event) return false;
    change(event);
    scheduler.callEvent("onEventChanged", [event.id, event]);
    scheduler.updateEvent(event.id);
    return true;
  },
};
