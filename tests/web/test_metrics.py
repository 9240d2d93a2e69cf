"""``GET /metrics``, ``/healthz`` and ``/readyz``, and the dashboard that is drawn from it."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from peewee import OperationalError
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from gantt_tornado import User, routes
from gantt_tornado.errors import Forbidden, Unavailable
from gantt_tornado.testing import Client
from gantt_tornado.web import metrics
from gantt_tornado.web.app import make_metrics_app
from gantt_tornado.web.endpoints import ENDPOINTS
from tests.conftest import ADMIN, EDITOR, SECRET, VIEWER

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana.json"
#: Functions and words of PromQL that stand in the dashboard.
WORDS = {"rate", "increase", "sum", "by", "histogram_quantile", "max", "time", "clamp_min"}


def scraped(body):
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


class Numbers:
    """What a server says of itself."""

    def __init__(self, samples):
        self.samples = samples

    def of(self, name, **labels):
        return self.samples.get((name, frozenset(labels.items())), 0)


@pytest.fixture
def admin(gantt):
    return gantt.having(Remote_Token=ADMIN)


@pytest.fixture
def numbers(admin):
    async def numbers():
        answer = await admin.get("/metrics")
        assert answer.status == 200, answer.body
        return Numbers(scraped(answer.body.decode()))

    return numbers


class TestWho:
    @pytest.mark.gen_test
    async def test_an_admins_token_is_needed(self, gantt):
        for token, status in ((ADMIN, 200), (EDITOR, 403), (VIEWER, 403), ("", 403)):
            assert (await gantt.having(Remote_Token=token).get("/metrics")).status == status

    @pytest.mark.gen_test
    async def test_it_may_come_as_prometheus_sends_it(self, gantt):
        for header, status in (
            (f"Bearer {ADMIN}", 200),
            (f"bearer  {ADMIN}", 200),
            (f"Basic {ADMIN}", 403),
            (f"Bearer {EDITOR}", 403),
            ("Bearer", 403),
        ):
            answer = await gantt.anonymous().having(Authorization=header).get("/metrics")
            assert (header, answer.status) == (header, status)

    @pytest.mark.gen_test
    async def test_elsewhere_that_header_is_somebody_elses(self, gantt):
        # A proxy in front may have put its own there.
        stranger = gantt.anonymous().having(Authorization="Bearer of-another-house")
        assert (await stranger.get("/data")).status == 200

    @pytest.mark.gen_test
    async def test_a_port_of_its_own_asks_for_none(self, backend, http_client):
        socket, port = bind_unused_port()
        server = HTTPServer(make_metrics_app(backend))
        server.add_sockets([socket])
        watcher = Client(http_client, f"http://127.0.0.1:{port}", {})
        try:
            for path in ("/metrics", "/healthz", "/readyz"):
                assert (await watcher.get(path)).status == 200
            for path in ("/data", "/", "/api/v1", "/projects"):
                assert (await watcher.get(path)).status == 404
        finally:
            server.stop()
            await server.close_all_connections()

    @pytest.mark.gen_test
    async def test_nothing_in_it_is_about_people(self, gantt, colleague, admin, listen):
        await listen("tasks")
        task = await gantt.add("task", text="Quay")
        await colleague.put(f"/data/task/{task['id']}", {"holder": "Quay"})
        await gantt.get("/data?token=Quay")
        await gantt.get("/p/Quay/data")
        body = (await admin.get("/metrics")).body.decode()
        for word in (SECRET, "Quay", "Eve,", '"Eve', "Carl", "127.0.0.1", "default"):
            assert word not in body

    @pytest.mark.gen_test
    async def test_the_application_decides_where_it_signs_in(self, gantt, backend):
        backend.authenticate = lambda handler: User("Ada", None, {"default": 3})
        assert (await gantt.get("/metrics")).status == 403
        assert (await gantt.get("/healthz")).status == 200


class TestHealth:
    @pytest.mark.gen_test
    async def test_whoever_asks_is_told(self, gantt, backend):
        # Not even a wrong token matters.
        for client in (gantt, gantt.anonymous(), gantt.having(Remote_Token="unknown")):
            assert (await client.get("/healthz")).json == {"status": "alive"}
            assert (await client.get("/readyz")).json == {"status": "ready"}
            assert (await client.request("HEAD", "/readyz")).status == 200

    @pytest.mark.gen_test
    async def test_where_an_application_signs_in_too(self, gantt, backend):
        def nobody(handler):
            raise Forbidden("Sign in first.")

        backend.authenticate = nobody
        assert (await gantt.get("/readyz")).json == {"status": "ready"}

    @pytest.mark.gen_test
    async def test_a_store_that_takes_no_writes_is_not_ready_but_alive(
        self, gantt, monkeypatch, logged_errors
    ):
        def fail(_database):
            raise OperationalError("database or disk is full")

        monkeypatch.setattr("gantt_tornado.backend.try_to_write", fail)
        answer = await gantt.get("/readyz")
        assert (answer.status, answer.json["code"]) == (503, "unavailable")
        assert answer.headers["Retry-After"] == "2"
        assert (await gantt.get("/healthz")).status == 200

    @pytest.mark.gen_test
    async def test_a_full_queue_is_not_ready(self, gantt, held, monkeypatch, logged_errors):
        with held():
            monkeypatch.setattr("gantt_tornado.store.writer.LONGEST_QUEUE", 0)
            assert (await gantt.get("/readyz")).status == 503

    @pytest.mark.gen_test
    async def test_a_server_that_ends_says_so_first(self, gantt, backend, logged_errors):
        backend.readiness.is_closing = True
        assert (await gantt.get("/readyz")).status == 503
        assert (await gantt.get("/data")).status == 200


class TestRequests:
    @pytest.mark.gen_test
    async def test_each_is_counted_by_endpoint_and_outcome(self, gantt, numbers):
        task = await gantt.add("task", text="Dig")
        await gantt.put(f"/data/task/{task['id']}", {"text": "Build"})
        await gantt.put("/data/task/999", {"text": "Build"})
        await gantt.anonymous().put("/data/task/1", {})
        found = await numbers()
        put = "PUT /data/{entity}/{id}"
        counted = {
            status: found.of("gantt_requests_total", endpoint=put, status=status)
            for status in ("200", "403", "404")
        }
        assert counted == {"200": 1, "403": 1, "404": 1}
        assert found.of("gantt_request_seconds_count", endpoint=put) == 3
        assert found.of("gantt_request_seconds_sum", endpoint=put) > 0

    @pytest.mark.gen_test
    async def test_what_is_no_endpoint_is_counted_as_other(self, gantt, numbers):
        for path in ("/", "/nothing-here", "/data/a/b/c", "/app.js"):
            await gantt.get(path)
        await gantt.request("PATCH", "/data")
        found = await numbers()
        assert found.of("gantt_requests_total", endpoint="other", status="200") == 2
        assert found.of("gantt_requests_total", endpoint="other", status="404") == 2
        assert found.of("gantt_requests_total", endpoint="other", status="405") == 1

    @pytest.mark.gen_test
    async def test_both_adapters_count_alike(self, gantt, backend, admin):
        async def requests():
            for path in ("/data", "/data/history?before=x", "/projects", "/data/a/b/c"):
                await gantt.get(path)
            await gantt.put("/data/task/999", {})
            await gantt.having(Remote_Token="unknown").get("/data")
            found = {name: dict(each.statuses) for name, each in backend.counts.requests.items()}
            backend.counts.requests.clear()
            return found

        by_delegates = await requests()
        # What an application's authenticate() makes of it: everything goes to RequestHandlers.
        backend.authenticate = lambda handler: (
            backend.accounts.verify(handler.request.headers["Remote-Token"]) or backend.anonymous
        )
        by_handlers = await requests()
        # The unknown token is the one difference, and the application's own affair.
        assert by_delegates["GET /data"] == {200: 1, 403: 1}
        assert by_handlers.pop("GET /data") == {200: 2}
        assert by_delegates.pop("GET /data") and by_delegates == by_handlers

    @pytest.mark.gen_test
    async def test_refused_tokens_are_counted(self, gantt, listen, numbers):
        await gantt.having(Remote_Token="unknown").get("/data")
        await gantt.get("/data?token=unknown")
        found = await numbers()
        assert found.of("gantt_refused_tokens_total") == 1


async def left_alone(backend) -> None:
    """What a server writes by itself is over, and nothing more comes."""
    for task in backend._tasks:
        task.cancel()
    await backend.history()


class TestPlan:
    @pytest.mark.gen_test
    async def test_commits_and_their_jobs(self, gantt, backend, held, numbers):
        await left_alone(backend)
        before = await numbers()
        with held():
            adding = [asyncio.ensure_future(gantt.add("task", text="Dig")) for _ in range(3)]
            while backend.state().queue < 3:
                await asyncio.sleep(0)
        await asyncio.gather(*adding)
        found = await numbers()
        jobs = found.of("gantt_batch_jobs_sum") - before.of("gantt_batch_jobs_sum")
        commits = found.of("gantt_commit_seconds_count") - before.of("gantt_commit_seconds_count")
        assert (jobs, commits) == (4, 2)

    @pytest.mark.gen_test
    async def test_a_transaction_that_failed_is_no_commit(self, backend, caplog):
        await left_alone(backend)
        before = sum(backend.counts.commits.counts)

        def fail():
            backend._database.peewee.rollback()
            raise Unavailable("full")

        with pytest.raises(Unavailable):
            await backend._writer.submit(fail)
        assert sum(backend.counts.commits.counts) == before

    @pytest.mark.gen_test
    async def test_sockets_events_and_deliveries(self, gantt, listen, numbers):
        one, two = await listen("tasks"), await listen("tasks")
        await gantt.add("task", text="Dig")
        for socket in (one, two):
            await socket.value("add-task")
        found = await numbers()
        assert found.of("gantt_sockets") == 2
        assert found.of("gantt_deliveries_total") == 2
        assert found.of("gantt_events_total") >= 1
        assert found.of("gantt_delivered_bytes_total") > 2 * len("add-task")
        assert found.of("gantt_journal_changes") == 1 and found.of("gantt_open_projects") == 1

    @pytest.mark.gen_test
    async def test_replays_and_pages_that_have_to_load_again(self, gantt, listen, numbers):
        seq = (await gantt.get("/data")).json["seq"]
        await gantt.add("task", text="Dig")
        await listen("tasks", "links", since=seq)
        await listen("tasks", "links", since="7-000000")
        found = await numbers()
        # The first has missed a task, the second must load again, which both channels say.
        assert found.of("gantt_replays_total") == 3
        assert found.of("gantt_reloads_total") == 1

    @pytest.mark.gen_test
    async def test_merges_and_dropped_fields(self, gantt, colleague, numbers):
        task = await gantt.add("task", text="Dig")
        await colleague.put(f"/data/task/{task['id']}", {**task, "holder": "Carl"})
        await gantt.put(f"/data/task/{task['id']}", {**task, "text": "Build"})
        parent = await gantt.add("task", text="House")
        await colleague.delete(f"/data/task/{parent['id']}")
        await gantt.put(f"/data/task/{task['id']}", {"parent": parent["id"], "text": "Roof"})
        found = await numbers()
        assert found.of("gantt_merges_total") == 2
        assert found.of("gantt_dropped_fields_total") == 1

    @pytest.mark.gen_test
    async def test_a_reader_that_is_too_slow(self, gantt, listen, backend, numbers):
        await listen("tasks")
        (connection,) = backend.default.connections
        connection._too_slow()
        assert (await numbers()).of("gantt_slow_disconnects_total") == 1

    @pytest.mark.gen_test
    async def test_how_late_the_loop_is(self, backend, monkeypatch):
        monkeypatch.setattr("gantt_tornado.backend.LAG_EVERY", 0)
        measuring = asyncio.create_task(backend._measure_lag())
        while not sum(backend.counts.lag.counts):
            await asyncio.sleep(0)
        measuring.cancel()
        assert backend.counts.lag.total >= 0


class TestFormat:
    @pytest.mark.gen_test
    async def test_it_is_the_one_that_was_asked_for(self, admin):
        plain = await admin.get("/metrics")
        assert plain.headers["Content-Type"].startswith("text/plain; version=")
        wanted = admin.having(Accept="application/openmetrics-text; version=1.0.0")
        modern = await wanted.get("/metrics")
        assert modern.headers["Content-Type"].startswith("application/openmetrics-text")
        assert modern.body.endswith(b"# EOF\n")

    @pytest.mark.gen_test
    async def test_each_number_has_its_help_and_is_documented(self, admin):
        body = (await admin.get("/metrics")).body.decode()
        documented = (DASHBOARD.parents[1] / "docs" / "metrics.md").read_text()
        for family in text_string_to_metric_families(body):
            assert family.documentation
            if family.name.startswith("gantt_"):
                assert f"`{family.name}" in documented


class TestDashboard:
    def panels(self):
        dashboard = json.loads(DASHBOARD.read_text())
        return [panel for panel in dashboard["panels"] if panel["type"] != "row"]

    def queries(self):
        return [target["expr"] for panel in self.panels() for target in panel["targets"]]

    @pytest.mark.gen_test
    async def test_every_query_asks_for_what_there_is(self, gantt, admin):
        await gantt.get("/data")
        samples = scraped((await admin.get("/metrics")).body.decode())
        labels = {}
        for name, pairs in samples:
            labels.setdefault(name, set()).update(label for label, _ in pairs)
        assert self.queries()
        for query in self.queries():
            bare = re.sub(r'"[^"]*"|\[[^]]*\]|\$\w+', "", query)
            names = set(re.findall(r"[a-z][a-z_]+", bare)) - WORDS
            asked = names & labels.keys()
            # What Prometheus adds to each.
            known = set().union({"instance"}, *(labels[name] for name in asked))
            assert asked and names - asked <= known, query

    def test_every_number_of_ours_is_drawn(self):
        drawn = " ".join(self.queries())
        named = (*metrics.COUNTERS, *metrics.GAUGES, *metrics.HISTOGRAMS)
        for name, *_ in (*named, ("gantt_requests",), ("gantt_request_seconds",)):
            assert name in drawn

    def test_no_panel_has_anothers_place(self):
        panels = json.loads(DASHBOARD.read_text())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        taken = set()
        for panel in panels:
            at = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not taken & cells and all(x < 24 for x, _ in cells)
            taken |= cells


def test_the_addresses_stand_below_the_prefix_of_an_application(backend):
    patterns = [rule[0] for rule in routes(backend, prefix="/gantt")]
    watched = {endpoint.path for endpoint in ENDPOINTS if endpoint.of_server}
    assert {"/healthz", "/readyz", "/metrics"} <= watched
    assert {f"/gantt{path}" for path in ("/healthz", "/readyz", "/metrics")} <= set(patterns)
