"""The intranet page of a team: the plan, and beside it everybody's appointments.

    python examples/team.py --port 8892 --scheduler node_modules/dhtmlx-scheduler/codebase

The Scheduler (GPL) does not come with this package: `npm install dhtmlx-scheduler` brings it, and
`--scheduler` says where. One socket tells both widgets; a page that was away catches up.
"""

import argparse
import asyncio
from datetime import date, timedelta
from pathlib import Path

from tornado import web

from gantt_tornado import Backend, Config, Project, routes

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>The team</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="dhtmlxgantt.css">
<link rel="stylesheet" href="scheduler/dhtmlxscheduler.css">
<style>
  html, body { height: 100%; margin: 0 }
  body { display: grid; grid-template-columns: 1fr 1fr }
</style>
<div id="plan"></div>
<div id="appointments" class="dhx_cal_container"></div>
<script src="vendor/dhtmlxgantt.js"></script>
<script src="scheduler/dhtmlxscheduler.js"></script>
<script src="team.js"></script>
"""

SCRIPT = """
const TOKEN = "token";
const TAB = crypto.randomUUID();
const headers = { "Remote-Token": TOKEN, "Remote-Device": TAB };

gantt.config.date_format = "%Y-%m-%d %H:%i";
gantt.init("plan");
const dp = gantt.createDataProcessor({ url: "data", mode: "REST-JSON", headers });

scheduler.config.date_format = "%Y-%m-%d %H:%i";
scheduler.plugins({ recurring: true });
scheduler.init("appointments", new Date(), "week");
const appointments = scheduler.createDataProcessor({ url: "events", mode: "REST-JSON" });
// The client drops the headers of createDataProcessor.
appointments.setTransactionMode({ mode: "REST-JSON", headers });

let remoteEvents;
const load = async (url) => (await fetch(url, { headers })).json();
const listen = async () => {
  // Of two loads the older says what was missed.
  const plan = await load("data");
  const { data } = await load("events");
  gantt.parse(plan);
  scheduler.parse(data);
  const { RemoteEvents, remoteUpdates } = gantt.ext.liveUpdates;
  remoteEvents = new RemoteEvents(`api/v1?since=${plan.seq}&tab=${TAB}&reload=1`, TOKEN);
  remoteEvents.on(remoteUpdates);
  remoteEvents.on(scheduler.ext.liveUpdates.remoteUpdates);
  remoteEvents.on("tasks", ({ type }) => type === "reload" && location.reload());
};
listen();
"""


class Page(web.RequestHandler):
    def initialize(self, body: str, kind: str) -> None:
        self._body, self._kind = body, kind

    def get(self) -> None:
        self.set_header("Content-Type", f"{self._kind}; charset=utf-8")
        self.write(self._body)


async def fill(plan: Project) -> None:
    """A task, an appointment and a weekly series."""
    today = date.today()
    monday = today - timedelta(days=today.weekday())
    await plan.insert("task", {"text": "Dig", "start_date": monday, "duration": 5})
    at = f"{today} 10:00"
    dentist = {"text": "Dentist", "start_date": at, "end_date": f"{today} 11:00"}
    await plan.insert("event", dentist)
    weekly = {"rrule": "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO", "duration": 3600}
    series = {"text": "Jour fixe", "start_date": f"{monday} 09:00", "end_date": "9999-02-01 00:00"}
    await plan.insert("event", series | weekly)


def application(backend: Backend, scheduler: Path) -> web.Application:
    return web.Application(
        [
            ("/", Page, {"body": PAGE, "kind": "text/html"}),
            ("/team.js", Page, {"body": SCRIPT, "kind": "text/javascript"}),
            ("/scheduler/(.*)", web.StaticFileHandler, {"path": str(scheduler)}),
            *routes(backend, page=False),
        ]
    )


async def main(port: int, database: Path, scheduler: Path) -> None:
    async with Backend(Config(database=f"sqlite:///{database}")) as backend:
        if not backend.load()["tasks"]:
            await fill(backend.default)
        server = application(backend, scheduler).listen(port, "127.0.0.1")
        print(f"the team's page is at http://127.0.0.1:{port}/", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8892)
    parser.add_argument("--database", type=Path, default=Path("team.db"))
    parser.add_argument("--scheduler", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(main(options.port, options.database, options.scheduler))
