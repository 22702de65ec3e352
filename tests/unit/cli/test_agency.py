"""What the commands for agencies and operators share: tables for people."""

from __future__ import annotations

import pytest

from gateway.cli.agency import show, table


@pytest.mark.parametrize("text", ["x[/]y", "[red]x[/red]", "[link=https://example.org]x", ":us: :warning:"])
def test_what_a_cell_says_is_shown_as_it_stands(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = table(None, "origin")
    made.add_row(text)

    show(made)

    assert capsys.readouterr().out.split("\n") == ["origin", text, ""]
