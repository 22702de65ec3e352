"""Every event that the program can log is documented, in both languages, and nothing else is."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LEVELS = {"debug", "info", "warning", "error", "critical"}
PAGES = {
    "docs/operating.md": "## Events",
    "docs/evenements.md": "# Les événements",
}


def log_calls() -> Iterator[tuple[Path, ast.Call]]:
    """Yield every call that logs an event, with its file."""
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            logger = node.func.value
            if isinstance(logger, ast.Name) and logger.id == "log" and node.func.attr in LEVELS:
                yield path, node


def events() -> dict[str, set[str]]:
    """Return every event with the files that log it."""
    found: dict[str, set[str]] = {}
    for path, call in log_calls():
        name = call.args[0]
        assert isinstance(name, ast.Constant), f"{path}:{call.lineno}: the name of an event is fixed"
        assert isinstance(name.value, str)
        found.setdefault(name.value, set()).add(path.name)
    return found


def documented(page: str, heading: str) -> list[str]:
    """Return the events that the first column of a page's tables names."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = text[text.index(heading) :]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_events_have_names_of_one_form() -> None:
    assert len(events()) > 40
    for name in events():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", name), name


def test_no_event_has_a_field_that_the_log_writes_over() -> None:
    for path, call in log_calls():
        assert {keyword.arg for keyword in call.keywords}.isdisjoint({"at", "level"}), f"{path}:{call.lineno}"


def test_every_line_names_the_node_also_from_a_thread(capfd: pytest.CaptureFixture[str]) -> None:
    script = (
        "import structlog, threading; from gateway.logs import configure_logs; "
        "configure_logs('info', node='fr.gateway.test'); log = structlog.get_logger(); "
        "thread = threading.Thread(target=lambda: log.info('node.running')); thread.start(); thread.join()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)

    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["level"], line["node"]) == ("node.running", "info", "fr.gateway.test")


@pytest.mark.parametrize(("page", "heading"), PAGES.items())
def test_every_event_is_documented_once_and_no_other(page: str, heading: str) -> None:
    names = documented(page, heading)
    assert len(names) == len(set(names))
    assert set(events()) - set(names) == set(), "not documented"
    assert set(names) - set(events()) == set(), "documented, and never logged"


def test_both_pages_tell_of_the_same_events_in_the_same_order() -> None:
    english, french = (documented(page, heading) for page, heading in PAGES.items())
    assert english == french
