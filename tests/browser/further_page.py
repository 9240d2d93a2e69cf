"""The page that docs/protocol.md describes for assignments and baselines, for snippet_server.py."""

from __future__ import annotations

from typing import Final

FURTHER: Final = """
<script src="vendor/dhtmlxgantt.js"></script>
<link rel="stylesheet" href="dhtmlxgantt.css">
<div id="gantt_here" style="width:100%; height:100vh"></div>
<script>
  const AUTH_TOKEN = "token";
  const TAB = crypto.randomUUID();
  const headers = { "Remote-Token": AUTH_TOKEN, "Remote-Device": TAB };
  gantt.config.date_format = "%Y-%m-%d %H:%i";

  // What the MIT client does not set up itself.
  const assignments = gantt.createDatastore({ name: "assignments" });
  const baselines = gantt.createDatastore({ name: "baselines" });
  gantt.$data.assignmentsStore = assignments;
  gantt.$data.baselineStore = baselines;
  gantt.config.resource_assignment_store = "assignments";
  gantt.config.resources = { dataprocessor_assignments: true };
  gantt.config.baselines = { datastore: "baselines", dataprocessor_baselines: true };

  gantt.init("gantt_here");
  const dp = gantt.createDataProcessor({ url: "/data", mode: "REST-JSON", headers });

  /** What another does in a store, without sending it back. */
  const follow = (store, key) => (value) => {
    const item = value[key];
    if (!item || dp._in_progress[item.id]) return;
    dp.ignore(() => {
      if (value.type === `delete-${key}`) store.exists(item.id) && store.removeItem(item.id);
      else if (!store.exists(item.id)) value.type === `add-${key}` && store.addItem(item);
      else Object.assign(store.getItem(item.id), item), store.updateItem(item.id);
    });
  };

  let remoteEvents;
  fetch("/data?assignments=1", { headers }).then((answer) => answer.json()).then((plan) => {
    const { assignments: assigned = [], seq, ...rest } = plan;
    gantt.parse(rest);
    assignments.parse(assigned);
    const { RemoteEvents, remoteUpdates } = gantt.ext.liveUpdates;
    remoteEvents = new RemoteEvents(`/api/v1?since=${seq}&tab=${TAB}`, AUTH_TOKEN);
    remoteEvents.on(remoteUpdates);
    remoteEvents.on("assignments", follow(assignments, "assignment"));
    remoteEvents.on("baselines", follow(baselines, "baseline"));
  });
</script>
"""
