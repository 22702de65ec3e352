"""Alert rules and dashboard: every metric in them exists, every rule has words and a runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.console.app import ops_app
from gateway.console.metrics import render_metrics
from gateway.console.words import HEALTH
from gateway.core.states import State
from gateway.node.health import Phase
from gateway.web.app import App
from tests.unit.console.test_app import Node, Registry, health

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "containers" / "monitoring"
ALERTS = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
RULES_TEST = (MONITORING / "alerts_test.yml").read_text(encoding="utf-8")
OPERATING = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))

_METRIC = re.compile(r"\b(?:entente|process)_[a-z_]+\b")
_LABELLED = re.compile(r"(entente_[a-z_]+)\{([^}]*)\}")
_VALUES = re.compile(r'(\w+)(?:=~|=|!=)"([^"]*)"')
UNITS = ("_seconds", "_bytes", "_total", "_info")


@pytest.fixture(scope="module")
def text() -> str:
    """Return what a node shows to Prometheus, with every counter counted."""
    port: App = ops_app(Node(), Registry("operator"))
    port.statistics.answered("ready", 200)
    port.statistics.timed_out("head")
    return render_metrics(health(), (port,), {"own/tls-peer.pem": 1.8e9}).decode()


def names(text: str) -> set[str]:
    """Return the names of the samples, not of the families: that is what a query names."""
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def expressions() -> list[str]:
    rules = re.findall(r"^        expr: (.*)$", ALERTS, re.MULTILINE)
    queries = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    assert len(rules) > 10
    assert len(queries) > 20
    return rules + queries


def test_every_metric_that_is_asked_for_exists(text: str) -> None:
    known = names(text)
    for expression in expressions():
        asked = set(_METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))
        assert asked or "up{" in expression, expression
        assert asked <= known, (expression, asked - known)


def test_every_metric_of_a_node_is_on_the_dashboard_or_in_an_alert(text: str) -> None:
    shown = " ".join(expressions())
    ours = {name for name in names(text) if name.startswith("entente_")}
    assert {name for name in ours if re.search(rf"\b{name}\b", shown) is None} <= {
        "entente_admission_waiting"
    }


def test_labels_that_are_asked_for_have_values_that_exist() -> None:
    known = {
        "reason": {*HEALTH, "quota"},
        "state": {state.label for state in State},
        "phase": {phase.value for phase in Phase},
    }
    for expression in expressions():
        for _, labels in _LABELLED.findall(expression):
            for label, values in _VALUES.findall(labels):
                if label in known:
                    assert set(values.split("|")) <= known[label], expression


def test_metrics_are_documented_with_unit_and_help(text: str) -> None:
    families = re.findall(r"^# HELP (entente_\w+) (.+)$", text, re.MULTILINE)
    assert len(families) > 25
    for name, words in families:
        assert words[0].isupper() or words[0] == "1", words
        assert words.endswith("."), words
        assert f"`{name}" in OPERATING, f"{name} is not in docs/operating.md"
        if "seconds" in name or "bytes" in name:
            assert name.endswith(UNITS), name


def test_every_alert_has_words_in_both_languages_and_a_runbook_that_exists() -> None:
    alerts = re.findall(r"^      - alert: (\w+)\n((?:        .*\n|\n)*)", ALERTS, re.MULTILINE)
    headings = {line.lstrip("# ") for line in OPERATING.splitlines() if line.startswith("#")}
    assert len(alerts) > 10
    for name, body in alerts:
        assert f"`{name}`" in OPERATING, f"{name} is not in docs/operating.md"
        assert 'summary: "' in body
        assert 'summary_fr: "' in body
        assert re.search(r"severity: (page|ticket)\b", body)
        runbook = re.search(r"""runbook: 'docs/operating.md, "([^"]+)"'""", body)
        assert runbook is not None, name
        assert runbook[1] in headings, runbook[1]


def test_every_alert_is_tried_both_ways() -> None:
    for name in re.findall(r"- alert: (\w+)", ALERTS):
        tried = re.findall(rf"alertname: {name}\n        exp_alerts:(.*)", RULES_TEST)
        assert " []" in tried, f"{name} is not shown to keep quiet"
        assert "" in tried, f"{name} is not shown to fire"


def test_the_dashboard_shows_what_it_says() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert max(x for x, _ in cells) < 24
    assert len(cells) == len(set(cells)), "panels lie over one another"


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("check", "rules"), "alerts.yml"),
        (("test", "rules"), "alerts_test.yml"),
        (("check", "metrics"), None),
    ],
)
def test_promtool_agrees(command: tuple[str, str], file: str | None, text: str) -> None:
    program = shutil.which("promtool")
    assert program is not None
    arguments = [] if file is None else [str(MONITORING / file)]
    result = subprocess.run(
        [program, *command, *arguments],
        input=text if file is None else None,
        cwd=MONITORING,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
