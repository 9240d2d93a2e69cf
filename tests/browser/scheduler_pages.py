"""Pages with the Scheduler, for snippet_server.py; its client the tests bring, see scheduler.py."""

from __future__ import annotations

from typing import Final

HEAD: Final = """<!doctype html><link rel="icon" href="data:,">
<script src="/client/dhtmlxscheduler.js"></script>
<link rel="stylesheet" href="/client/dhtmlxscheduler.css">
<style>html, body { margin: 0; height: 100% }</style>
<div id="scheduler_here" class="dhx_cal_container" style="width:900px; height:600px"></div>
<script>
  const AUTH_TOKEN = "token";
  const TAB = crypto.randomUUID();
  // The tests say which project.
  const BASE = location.pathname.replace(/\\/[a-z-]*$/, "");
  scheduler.config.date_format = "%Y-%m-%d %H:%i";
  const WEEK = new Date(2027, 3, 19);
"""
#: The documented snippet, with its token where the client can send it.
SNIPPET: Final = """
  scheduler.plugins({ recurring: true });
  scheduler.init("scheduler_here", WEEK, "week");
  scheduler.load(`${BASE}/events?token=${AUTH_TOKEN}`);
  const dp = scheduler.createDataProcessor({ url: `${BASE}/events`, mode: "REST-JSON" });
  dp.setTransactionMode({ mode: "REST-JSON", payload: { token: AUTH_TOKEN } });
  const { RemoteEvents, remoteUpdates } = scheduler.ext.liveUpdates;
  const remoteEvents = new RemoteEvents(`${BASE}/api/v1`, AUTH_TOKEN);
  remoteEvents.on(remoteUpdates);
"""
#: The same with ``since``, ``tab`` and headers, as docs/protocol.md recommends.
SINCE: Final = """
  scheduler.plugins({ recurring: true });
  scheduler.init("scheduler_here", WEEK, "week");
  const dp = scheduler.createDataProcessor({ url: `${BASE}/events`, mode: "REST-JSON" });
  const headers = { "Remote-Token": AUTH_TOKEN, "Remote-Device": TAB };
  dp.setTransactionMode({ mode: "REST-JSON", headers });
  let remoteEvents;
  const load = fetch(`${BASE}/events?token=${AUTH_TOKEN}`);
  load.then((answer) => answer.json()).then(({ data, seq }) => {
    scheduler.parse(data);
    const { RemoteEvents, remoteUpdates } = scheduler.ext.liveUpdates;
    remoteEvents = new RemoteEvents(`${BASE}/api/v1?since=${seq}&tab=${TAB}`, AUTH_TOKEN);
    remoteEvents.on(remoteUpdates);
  });
"""
#: The documented snippet without the plug-in for series.
PLAIN: Final = SNIPPET.replace("scheduler.plugins({ recurring: true });", "")
#: Loads, and hears nothing.
JUDGE: Final = """
  scheduler.plugins({ recurring: true });
  scheduler.init("scheduler_here", WEEK, "week");
  const load = fetch(`${BASE}/events?token=${AUTH_TOKEN}`);
  load.then((answer) => answer.json()).then(({ data }) => {
    scheduler.parse(data);
    window.loaded = true;
  });
"""
PAGES: Final = {"scheduler": SNIPPET, "calendar": SINCE, "no-series": PLAIN, "judge": JUDGE}
