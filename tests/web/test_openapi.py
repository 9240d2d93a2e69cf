"""``GET /openapi.json``: what it says of the table, and whether the server keeps it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gantt_tornado import errors
from gantt_tornado.web import openapi
from gantt_tornado.web.endpoints import ENDPOINTS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def described():
    return openapi.document(ENDPOINTS, "1")


def operations(described):
    for path, verbs in described["paths"].items():
        for verb, operation in verbs.items():
            yield path, verb, operation


@pytest.mark.gen_test
async def test_everybody_may_read_it(gantt, described):
    assert (await gantt.anonymous().get("/openapi.json")).json == described


def test_it_has_every_endpoint_and_no_other(described):
    found = {
        f"{verb.upper()} {path.removeprefix('/p/{project}')}"
        for path, verb, _ in operations(described)
    }
    assert found == {endpoint.name for endpoint in ENDPOINTS}


def test_what_is_of_a_project_stands_below_its_address_too(described):
    paths = described["paths"].keys()
    for endpoint in ENDPOINTS:
        assert (f"/p/{{project}}{endpoint.path}" in paths) is not endpoint.of_server


def test_each_parameter_of_a_path_is_described(described):
    for path, _, operation in operations(described):
        named = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert named == re.findall(r"\{(\w+)\}", path)


def test_what_stands_in_the_url_is_of_an_endpoint():
    assert openapi.QUERIES.keys() <= {endpoint.name for endpoint in ENDPOINTS}


def test_each_error_that_a_client_can_meet_is_described():
    ours = {str(kind.status) for kind in errors.GanttError.__subclasses__()}
    assert ours == openapi.ERRORS.keys()


def test_who_is_asked_for_a_token_is_told(described):
    for path, verb, operation in operations(described):
        watched = path in ("/healthz", "/readyz", "/openapi.json")
        assert bool(operation["security"]) is not watched, (path, verb)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("schemathesis") is None, reason="pip install schemathesis")
def test_the_server_keeps_it_whatever_is_sent(tmp_path):
    """Some minutes of made-up requests: none fails in the server, and each is answered as the
    description says."""
    command = [sys.executable, str(ROOT / "server.py"), "--port=0", "--log-level=error"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().split()[-1]
            checks = "not_a_server_error,status_code_conformance,content_type_conformance"
            done = subprocess.run(
                [
                    *("schemathesis", "run", f"{url}/openapi.json"),
                    *("--header", "Remote-Token: token", "--max-examples", "100", "--seed", "1"),
                    # It never ends.
                    *("--phases", "fuzzing,coverage", "--exclude-path-regex", "changes"),
                    *("--checks", f"{checks},response_schema_conformance"),
                ],
                cwd=tmp_path, capture_output=True, text=True, timeout=280,
            )  # fmt: skip
        finally:
            server.terminate()
    assert done.returncode == 0, done.stdout[-5000:]
