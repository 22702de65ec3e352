"""docs/api.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gateway.client
from gateway.api.messages import MAX_BATCH_LINES, MAX_WAIT_S
from gateway.api.operations import OPERATIONS
from gateway.cli import COMMANDS
from gateway.web.limits import MAX_HEADER_LINE, MAX_HEADERS, MAX_REQUEST_LINE
from gateway.web.problem_table import PROBLEMS


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_problem_is_listed_with_its_status_and_detail(page: str) -> None:
    rows = set(re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \| (.+) \|$", page, re.MULTILINE))

    assert rows == {(str(problem.status), problem.code, problem.detail.en) for problem in PROBLEMS.values()}


def test_every_call_is_listed(page: str) -> None:
    for operation in OPERATIONS:
        assert f"`{operation.method} {operation.path}" in page, operation.name


def test_every_agency_command_and_call_of_the_client_is_listed(page: str) -> None:
    for name, place in COMMANDS.items():
        if place.panel == "For agencies":
            assert re.search(rf"`(?:entente )?{name}\b", page), name
    for name, value in vars(gateway.client.AsyncClient).items():
        if not name.startswith("_") and callable(value) and name not in {"close", "from_folder"}:
            assert f"`{name}`" in page, name


def test_limits_are_those_of_the_code(page: str) -> None:
    assert f"{MAX_BATCH_LINES:,} lines" in page
    assert f"| `wait` | {MAX_WAIT_S} s |" in page
    assert f"| {MAX_REQUEST_LINE:,} bytes; {MAX_HEADER_LINE:,} bytes; {MAX_HEADERS} (" in page
