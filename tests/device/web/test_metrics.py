"""The metrics as Prometheus and its tools read them, with the alert rules and the dashboard."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pocketsight.device.camera import live
from pocketsight.device.faults import FAULT_NAMES
from pocketsight.device.inference import coral_fallback
from pocketsight.device.runtime import status
from pocketsight.device.sinks import snapshots, sqlite, worker
from pocketsight.device.sinks.mqtt import faults
from tests.support import ROOT
from tests.support.looping import Loop, ask, looping
from tests.support.processes import until

MONITORING = ROOT / "scripts" / "monitoring"


def metrics(loop: Loop) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(ask(loop.web, "/metrics")[2].decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_the_build_names_the_board() -> None:
    with looping(faces=0) as loop:
        loop.state.info["board"] = "door"
        text = ask(loop.web, "/metrics")[2].decode()
    (line,) = [line for line in text.splitlines() if line.startswith("pocketsight_build_info{")]
    assert 'board="door"' in line and 'version="' in line


def test_every_counter_exists_from_the_start_at_0() -> None:
    with looping(faces=0) as loop:
        found = metrics(loop)
    for event in ("appeared", "changed", "left"):
        assert found["pocketsight_face_events_total", event] == 0
    for label in ("happy", "sad", "unsure"):
        assert found["pocketsight_face_seconds_total", label] == 0
    for name in FAULT_NAMES:
        assert found["pocketsight_faults_total", name] == found["pocketsight_fault_active", name] == 0
    for name in ("frames_dropped", "log_bytes", "log_entries_lost", "mqtt_events_lost"):
        assert found[f"pocketsight_{name}_total",] == 0


def test_every_fault_is_known() -> None:
    modules = live, coral_fallback, snapshots, sqlite, worker, faults
    named = {
        value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, str) and name.isupper() and re.fullmatch("[a-z]+ [a-z ]+", value)
    }
    assert named and named <= set(FAULT_NAMES)


def test_gauges_fall_when_the_camera_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "FRAME_STALE_AFTER", 0.3)
    with looping(faces=2) as loop:
        loop.state.stale_after = 0.0
        until(lambda: metrics(loop)["pocketsight_frames_per_second",] > 0)
        assert metrics(loop)["pocketsight_faces", "happy"] == 1
        loop.paused = True
        until(lambda: metrics(loop)["pocketsight_faces", "happy"] == 0)
        found, shown = metrics(loop), json.loads(ask(loop.web, "/api/status")[2])
        assert found["pocketsight_frames_per_second",] == found["pocketsight_latency_seconds",] == shown["fps"] == 0
        assert shown["faces"] == [] and found["pocketsight_last_frame_age_seconds",] > 0.2
        loop.paused = False
        until(lambda: metrics(loop)["pocketsight_faces", "happy"] == 1)
        until(lambda: metrics(loop)["pocketsight_frames_per_second",] > 5)  # without the time of the loss


def promtool(*words: str, folder: Path = MONITORING, text: str = "") -> str:
    done = subprocess.run(["promtool", *words], cwd=folder, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.debian("promtool")
def test_promtool_has_no_complaint_about_the_metrics() -> None:
    with looping() as loop:
        assert promtool("check", "metrics", text=ask(loop.web, "/metrics")[2].decode()) == ""


@pytest.mark.debian("promtool")
def test_the_alert_rules_fire_when_they_should() -> None:
    assert "7 rules found" in promtool("check", "rules", "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")
    promtool("check", "config", "--syntax-only", "prometheus.yml")


@pytest.mark.debian("promtool")
def test_the_dashboard_and_the_rules_use_metrics_that_exist(tmp_path: Path) -> None:
    dashboard = json.loads((MONITORING / "grafana_dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = [{"record": f"panel:{n}", "expr": expression} for n, expression in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", "rules.yml", folder=tmp_path)
    with looping() as loop:
        loop.state.info |= {"temperature": 48.2, "disk_free": 1e9, "queued": 0}
        until(lambda: loop.frames > 3)
        known = {name for name, *_ in metrics(loop)}
    texts = " ".join([*expressions, (MONITORING / "alerts.yml").read_text()])
    used = set(re.findall(r"\b(?:pocketsight|process)_[a-z_]+\b", texts))
    assert len(used) > 12 and used <= known
    cells = [panel["gridPos"] for panel in dashboard["panels"]]
    assert len({(cell["x"], cell["y"]) for cell in cells}) == len(cells) == len({p["id"] for p in dashboard["panels"]})
