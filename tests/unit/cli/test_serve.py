"""What `entente serve` runs a node in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop
from typer.testing import CliRunner

from gateway.cli import app, serve


def test_a_node_runs_in_the_loop_that_the_tests_run_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve_node(home: Path, *, stop: asyncio.Event) -> None:
        del home, stop
        loops.append(asyncio.get_running_loop())

    monkeypatch.setattr(serve, "serve_node", serve_node)

    assert CliRunner().invoke(app, ["serve", "--home", str(tmp_path)]).exit_code == 0
    assert [type(loop) for loop in loops] == [uvloop.Loop]


async def test_the_tests_run_in_the_loop_of_a_node() -> None:
    assert type(asyncio.get_running_loop()) is uvloop.Loop
