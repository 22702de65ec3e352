"""Drafts with comments: what every field is, in lines that the commands leave out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.cli import app
from gateway.cli.commented import commented, read_file, without_comments
from gateway.cli.drafting import new_draft
from gateway.core.message.wording import Language

RUN = CliRunner()
CATALOGUE = read_catalogue()
NOW_MS = 1_795_000_000_000


def draft_of(type_id: str) -> dict[str, Any]:
    draft = new_draft(CATALOGUE.type(type_id), catalogue=CATALOGUE, folder=catalogue_folder(), now_ms=NOW_MS)
    assert draft is not None
    return draft


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("type_id", CATALOGUE.types)
def test_a_draft_of_every_type_names_all_its_fields_and_is_the_same_without_comments(
    type_id: str, language: Language
) -> None:
    draft, item = draft_of(type_id), CATALOGUE.type(type_id)

    content = commented(draft, item, language)

    assert json.loads(without_comments(content)) == draft
    text = content.decode()
    assert text.startswith(f"// {item.title(language)}")
    for name, field in item.schema["properties"]["payload"]["properties"].items():
        assert f'"{name}": ' in text
        assert field["title" if language == "en" else "x-title-fr"].split()[0] in text


def test_codes_are_listed_with_their_labels_and_what_must_be_there_is_said() -> None:
    lines = commented(draft_of("match.query/1"), CATALOGUE.type("match.query/1"), "fr").decode()

    said = " ".join(lines.replace("//", " ").split())
    assert "Urgence (obligatoire) : " in said
    assert "IMMEDIATE = Immédiat : en 30 minutes ;" in said
    assert "Omis ici, car facultatif ou rempli par le nœud :" in said


def test_only_a_file_that_may_hold_comments_is_read_without_them(tmp_path: Path) -> None:
    content = b'{\n  // one\n  "a": "http://x"\n}\n'
    for name in ("x.json", "x.jsonc"):
        (tmp_path / name).write_bytes(content)

    assert read_file(str(tmp_path / "x.json")) == content
    assert read_file(str(tmp_path / "x.jsonc")) == b'{\n\n  "a": "http://x"\n}\n'


@pytest.mark.parametrize(
    ("name", "options", "has_comments"),
    [
        ("draft.jsonc", [], True),
        ("draft.json", [], False),
        ("draft.json", ["--comments"], True),
        ("draft.jsonc", ["--no-comments"], False),
    ],
)
def test_a_new_draft_has_comments_where_its_name_or_its_writer_says_so(
    tmp_path: Path, name: str, options: list[str], *, has_comments: bool
) -> None:
    path = tmp_path / name

    made = RUN.invoke(app, ["schema", "new", "assist.request/1", "--out", str(path), *options])
    checked = RUN.invoke(app, ["schema", "check", "--draft", str(path)])

    assert made.exit_code == 0
    assert ("// " in path.read_text(encoding="utf-8")) is has_comments
    # JSON with comments under another name is what a node would refuse.
    is_readable = not has_comments or name.endswith(".jsonc")
    assert checked.exit_code == (0 if is_readable else 1)


def test_what_a_pipe_gets_has_no_comments() -> None:
    plain = RUN.invoke(app, ["schema", "new", "assist.request/1"])
    explained = RUN.invoke(app, ["schema", "new", "assist.request/1", "--comments", "--language", "fr"])

    assert "//" not in plain.stdout
    assert json.loads(without_comments(explained.stdout.encode())).keys() == json.loads(plain.stdout).keys()
    assert "// Objet (obligatoire) : L'objet de la demande, en une ligne." in explained.stdout
