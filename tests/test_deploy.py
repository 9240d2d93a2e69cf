"""What is in deploy/, as far as the programs that read it are here."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "deploy" / "gantt-tornado.service"

systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


@pytest.fixture
def unit(tmp_path):
    """The unit with a program that is there."""
    path = tmp_path / UNIT.name
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.M))
    return path


@systemd
def test_the_unit_is_one(unit):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@systemd
def test_it_leaves_an_attacker_little(unit):
    # The exposure that systemd works out, in tenths: 10 is nothing protected.
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=15", "--no-pager"]
    done = subprocess.run([*command, str(unit)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-200:]


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="there is no logrotate")
def test_logrotate_reads_its_file(tmp_path):
    own = (
        (ROOT / "deploy" / "logrotate").read_text().replace("/var/log/gantt-tornado", str(tmp_path))
    )
    # Here there is no such user.
    own = re.sub(r"^ *(su|create) .*\n", "", own, flags=re.M)
    (tmp_path / "a.log").write_text("a line\n")
    (tmp_path / "rotate").write_text(own)
    (tmp_path / "rotate").chmod(0o600)
    command = ["logrotate", "--force", "--state", str(tmp_path / "state"), str(tmp_path / "rotate")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.log.1").read_text() == "a line\n"


def settings():
    return tomllib.loads((ROOT / "config" / "production.toml").read_text())


def test_the_unit_may_write_where_production_does():
    (name,) = re.findall(r"^StateDirectory=(.+)$", UNIT.read_text(), flags=re.M)
    assert settings()["database"].startswith(f"sqlite:////var/lib/{name}/")


def test_what_is_rotated_is_where_the_unit_may_write():
    (name,) = re.findall(r"^LogsDirectory=(.+)$", UNIT.read_text(), flags=re.M)
    assert f"/var/log/{name}/*.log" in (ROOT / "deploy" / "logrotate").read_text()


def test_all_run_it_as_the_same_user():
    for file in ("gantt-tornado.service", "logrotate", "Dockerfile"):
        assert "gantt-tornado" in (ROOT / "deploy" / file).read_text()
    assert "USER gantt-tornado" in (ROOT / "deploy" / "Dockerfile").read_text()


def test_the_image_is_asked_for_its_health_where_it_listens():
    told = (ROOT / "deploy" / "Dockerfile").read_text()
    assert f"http://127.0.0.1:{settings()['port']}/healthz" in told
    assert f"EXPOSE {settings()['port']}" in told
