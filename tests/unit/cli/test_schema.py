"""`entente schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.cli import app
from gateway.cli.drafting import ANSWERED, judge, new_draft
from gateway.core.message.instants import instant_ms

RUN = CliRunner()
TYPES = tuple(read_catalogue().types)
REPLIES = tuple(item.id for item in read_catalogue().types.values() if item.terms.reply_to)
ID = "01a20847-0135-7993-b063-b5d5cb27d3ff"
VALID = sorted(catalogue_folder().glob("*/examples/valid-*.json"))
INVALID = sorted(catalogue_folder().glob("*/examples/invalid-*.json"))


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_valid_example_is_accepted_as_of_its_creation() -> None:
    result = RUN.invoke(app, ["schema", "check", "--at", "created", "--json", *map(str, VALID)])

    assert result.exit_code == 0, result.output
    assert [(line["file"], line["verdict"], line["errors"]) for line in lines(result.stdout)] == [
        (str(path), "accepted", []) for path in VALID
    ]


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_no_verdict_on_an_invalid_example_repeats_a_value(path: Path) -> None:
    result = RUN.invoke(app, ["schema", "check", "--at", "created", "--json", str(path)])

    (line,) = lines(result.stdout)
    assert line["verdict"] in {"accepted", "refused"}  # rules about other messages are not judged here
    assert result.exit_code == (0 if line["verdict"] == "accepted" else 1)
    assert set(line) == {"file", "verdict", "errors"}
    for error in line["errors"]:
        assert set(error) == {"rule", "pointer", "message"}


def test_one_refused_message_makes_the_exit_status_one(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"type": "x", "type": "y"}')

    result = RUN.invoke(app, ["schema", "check", "--at", "created", str(VALID[0]), str(bad)])

    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].startswith("accepted")
    assert result.stdout.splitlines()[1].startswith("refused")
    assert "JSON" in result.stdout


def test_a_good_message_is_shown_with_its_banner_and_a_bad_one_without() -> None:
    good = next(path for path in VALID if path.name == "valid-05-seizure-report.json")
    bad = next(path for path in INVALID if path.name.startswith("invalid-mk-06-"))

    result = RUN.invoke(app, ["schema", "check", "--at", "created", str(good), str(bad)])

    first, second, *_ = result.stdout.splitlines()
    assert first == f"accepted  {good}  DIFFUSION RESTREINTE – COMMUNICABLE À FRA, USA  (= CUI)"
    assert second == f"refused   {bad}"


def with_unknown_place(tmp_path: Path) -> Path:
    document = orjson.loads(next(path for path in VALID if path.name.startswith("valid-02-")).read_bytes())
    document["payload"]["consignment"]["load"] = "ECZZZ"
    path = tmp_path / "unknown-place.json"
    path.write_bytes(orjson.dumps(document))
    return path


def test_a_place_in_no_list_is_accepted_with_a_warning(tmp_path: Path) -> None:
    path = with_unknown_place(tmp_path)

    shown = RUN.invoke(app, ["schema", "check", "--at", "created", "--language", "fr", str(path)])
    machine = RUN.invoke(app, ["schema", "check", "--at", "created", "--json", str(path)])

    assert (shown.exit_code, machine.exit_code) == (0, 0)
    first, second = shown.stdout.splitlines()
    assert first.startswith("accepted")
    assert second.startswith("  W-LOCODE   /payload/consignment/load: Ce lieu ne figure pas")
    (line,) = lines(machine.stdout)
    assert (line["verdict"], line["errors"]) == ("accepted", [])
    (warning,) = line["warnings"]
    assert (warning["warning"], warning["pointer"]) == ("W-LOCODE", "/payload/consignment/load")
    assert "ECZZZ" not in machine.stdout


def test_a_folder_of_lists_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "message.json").write_text("{}")
    for wrong in (tmp_path / "nowhere", tmp_path / "message.json"):
        result = RUN.invoke(app, ["schema", "check", "--lists", str(wrong), str(tmp_path / "message.json")])
        assert result.exit_code == 2, wrong


def test_a_check_looks_into_the_lists_that_it_is_given(tmp_path: Path) -> None:
    document = json.loads((catalogue_folder() / "lists" / "unlocode.json").read_bytes())
    document["groups"]["EC"] = "ZZZ"
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "unlocode.json").write_text(json.dumps(document))
    path = with_unknown_place(tmp_path)

    arguments = ["schema", "check", "--at", "created", "--json", "--lists", str(tmp_path / "lists")]
    result = RUN.invoke(app, [*arguments, str(path)])

    assert lines(result.stdout) == [{"file": str(path), "verdict": "accepted", "errors": []}]


def test_a_draft_that_is_taken_for_a_whole_message_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "draft.json"
    RUN.invoke(app, ["schema", "new", "assist.request/1", "--out", str(path)])

    plain = RUN.invoke(app, ["schema", "check", str(path)])
    as_draft = RUN.invoke(app, ["schema", "check", "--draft", str(path)])
    machine = RUN.invoke(app, ["schema", "check", "--json", str(path)])

    assert (plain.exit_code, as_draft.exit_code) == (1, 0)
    assert f"entente schema check --draft {path}" in plain.stderr
    assert as_draft.stderr == machine.stderr == ""


@pytest.mark.parametrize("options", [[], ["--draft"]])
def test_a_message_that_its_schema_accepts_is_no_draft(tmp_path: Path, options: list[str]) -> None:
    (example,) = (catalogue_folder() / "target.cargo_referral/examples").glob("valid-*.json")
    document = json.loads(example.read_text(encoding="utf-8"))
    del document["header"]["reply_by"]
    path = tmp_path / "message.json"
    path.write_text(json.dumps(document), encoding="utf-8")

    result = RUN.invoke(app, ["schema", "check", "--at", "created", "--json", *options, str(path)])

    (line,) = lines(result.stdout)
    assert [error["rule"] for error in line["errors"]] == ["H-07"]


def test_docs_writes_a_handbook_that_opens_from_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "handbook"

    result = RUN.invoke(app, ["schema", "docs", str(folder)])

    assert result.exit_code == 0, result.output
    assert "fr/index.html" in (folder / "index.html").read_text("utf-8")
    assert "../handbook.css" in (folder / "fr" / "gov.retraction-1.html").read_text("utf-8")
    assert (folder / "handbook.js").stat().st_size > 0


def test_docs_says_when_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    result = RUN.invoke(app, ["schema", "docs", str(tmp_path / "file" / "handbook")])

    assert result.exit_code == 2


def test_what_is_too_large_is_refused_like_anything_else(tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b'{"a":"' + b"x" * 1_048_576 + b'"}')

    result = RUN.invoke(app, ["schema", "check", "--json", str(large)])

    (line,) = lines(result.stdout)
    assert (result.exit_code, line["verdict"], line["errors"][0]["rule"]) == (1, "refused", "JSON")


def test_a_draft_that_becomes_too_large_is_refused_as_its_node_would(tmp_path: Path) -> None:
    draft = orjson.loads(VALID[0].read_bytes())
    del draft["header"]["message_id"], draft["header"]["created_at"]
    draft["payload"]["summary"] = "x" * (1_048_576 - len(orjson.dumps(draft)))
    large = tmp_path / "large.json"
    large.write_bytes(orjson.dumps(draft))

    result = RUN.invoke(app, ["schema", "check", "--draft", "--json", str(large)])

    (line,) = lines(result.stdout)
    assert (result.exit_code, line["verdict"], line["errors"][0]["rule"]) == (1, "refused", "JSON")
    assert "1,048,576" in line["errors"][0]["message"]


def test_a_message_of_the_past_is_too_old_now_and_good_at_its_time() -> None:
    path = str(VALID[0])
    created = orjson.loads(VALID[0].read_bytes())["header"]["created_at"]

    assert RUN.invoke(app, ["schema", "check", "--at", created, path]).exit_code == 0
    assert RUN.invoke(app, ["schema", "check", "--at", "2036-01-01T00:00:00Z", path]).exit_code == 1


def test_verdicts_come_in_french_too() -> None:
    english = RUN.invoke(app, ["schema", "check", "--json", "-"], input="{}")
    french = RUN.invoke(app, ["schema", "check", "--json", "-", "--language", "fr"], input="{}")

    assert lines(english.stdout)[0]["errors"][0]["message"] != lines(french.stdout)[0]["errors"][0]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["schema", "check"],
        ["schema", "check", "/no/such/file"],
        ["schema", "check", "--at", "yesterday", "-"],
        ["schema", "check", "--nonsense", "-"],
        ["schema", "list", "--language", "de"],
        ["schema", "new", "assist.request/1", "--nation", "DE"],
        ["schema", "nonsense"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_exit_status_two(arguments: list[str]) -> None:
    assert RUN.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("command", ["show", "new"])
def test_an_unknown_type_is_a_no(command: str) -> None:
    result = RUN.invoke(app, ["schema", command, "no.such/1"])

    assert result.exit_code == 1
    assert "unknown-type" in result.stderr


def test_the_list_has_every_type() -> None:
    human = RUN.invoke(app, ["schema", "list"]).stdout
    machine = lines(RUN.invoke(app, ["schema", "list", "--json"]).stdout)

    assert [item["type"] for item in machine] == list(TYPES)
    assert all(type_id in human for type_id in TYPES)
    assert read_catalogue().digest.hex() in human


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_type_shows_its_fields_and_its_terms(language: str) -> None:
    result = RUN.invoke(app, ["schema", "show", "assist.request/1", "--language", language])

    assert "questions" in result.stdout
    assert "FR.DGDDI.DNRED" in result.stdout


def test_a_type_as_json_is_its_schema() -> None:
    (schema,) = lines(RUN.invoke(app, ["schema", "show", "assist.request/1", "--json"]).stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("nation", ["FR", "US"])
@pytest.mark.parametrize("type_id", TYPES)
def test_a_new_draft_of_every_type_is_good_for_both_nations(type_id: str, nation: str) -> None:
    made = RUN.invoke(app, ["schema", "new", type_id, "--nation", nation, "--reply-to", ID])
    assert made.exit_code == 0

    result = RUN.invoke(app, ["schema", "check", "--draft", "--nation", nation, "-"], input=made.stdout)

    assert result.exit_code == 0, result.stdout
    draft = json.loads(made.stdout)
    assert not {"message_id", "created_at", "expires_at", "from", "marking"} & draft["header"].keys()


@pytest.mark.parametrize("type_id", REPLIES)
def test_a_new_reply_says_where_the_id_of_what_it_answers_goes(type_id: str) -> None:
    draft = json.loads(RUN.invoke(app, ["schema", "new", type_id]).stdout)

    if "conversation" in draft["header"]:
        assert draft["header"]["conversation"] == {"in_reply_to": ANSWERED}
        assert "to" not in draft["header"]


@pytest.mark.parametrize("type_id", [*REPLIES, "assist.cancel/1"])
def test_a_new_reply_leaves_the_purpose_to_the_message_that_it_answers(type_id: str) -> None:
    draft = json.loads(RUN.invoke(app, ["schema", "new", type_id, "--reply-to", ID]).stdout)

    assert "purpose" not in draft["header"]


def test_a_new_withdrawal_says_where_the_id_of_what_it_withdraws_goes() -> None:
    draft = json.loads(RUN.invoke(app, ["schema", "new", "assist.cancel/1"]).stdout)

    assert draft["header"]["conversation"] == {"in_reply_to": ANSWERED}
    assert "to" not in draft["header"]


@pytest.mark.parametrize("now", ["2027-03-01T00:00:00Z", "2027-03-01T23:59:59.999Z"])
def test_a_new_query_has_the_key_of_today(now: str) -> None:
    catalogue = read_catalogue()
    now_ms = instant_ms(now)

    draft = new_draft(
        catalogue.type("match.query/1"), catalogue=catalogue, folder=catalogue_folder(), now_ms=now_ms
    )

    assert draft is not None
    assert draft["payload"]["key_id"] == "mk-20270301-fr"
    body = orjson.dumps(draft)
    assert judge(body, catalogue=catalogue, at_ms=now_ms, now_ms=now_ms, draft=True).violations == ()


def test_a_type_that_opens_and_answers_makes_the_draft_that_is_asked_for() -> None:
    opener = json.loads(RUN.invoke(app, ["schema", "new", "fin.trade_mirror/1"]).stdout)
    answer = json.loads(RUN.invoke(app, ["schema", "new", "fin.trade_mirror/1", "--reply-to", ID]).stdout)

    assert "conversation" not in opener["header"]
    assert "to" in opener["header"]
    assert answer["header"]["conversation"] == {"in_reply_to": ID}
    assert "to" not in answer["header"]


def test_a_new_draft_is_written_once(tmp_path: Path) -> None:
    out = tmp_path / "draft.json"

    assert RUN.invoke(app, ["schema", "new", "assist.request/1", "--out", str(out)]).exit_code == 0
    kept = out.read_bytes()
    assert RUN.invoke(app, ["schema", "new", "assist.request/1", "--out", str(out)]).exit_code == 1
    assert out.read_bytes() == kept
    nowhere = str(tmp_path / "no" / "draft.json")
    assert RUN.invoke(app, ["schema", "new", "assist.request/1", "--out", nowhere]).exit_code == 2


def test_the_check_that_is_named_for_a_new_draft_accepts_it(tmp_path: Path) -> None:
    out = str(tmp_path / "ack.json")
    arguments = ["schema", "new", "assist.ack/1", "--nation", "US", "--reply-to", ID, "--out", out]

    named = RUN.invoke(app, arguments).stdout.strip().partition("check it with: entente ")[2]

    assert RUN.invoke(app, named.split()).exit_code == 0


def test_a_type_without_example_has_no_draft(tmp_path: Path) -> None:
    catalogue = read_catalogue()
    item = catalogue.type("assist.request/1")
    assert new_draft(item, catalogue=catalogue, folder=tmp_path, now_ms=0) is None


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": 7},
        {"type": "assist.ack/1", "header": 7, "payload": {}},
        {"type": "assist.ack/1", "header": {"conversation": 7}, "payload": {}},
        {"type": "assist.ack/1", "header": {"conversation": {"in_reply_to": 7}}, "payload": {}},
        {"type": "assist.ack/1", "header": {"conversation": {"in_reply_to": ID}, "to": 7}, "payload": {}},
        {"type": "assist.ack/1", "header": {"conversation": {"in_reply_to": ID}, "to": [7]}, "payload": {}},
        {"type": "assist.ack/1", "header": {"from": {"agency": 7}, "purpose": 7}, "payload": {}},
        {"type": "assist.ack/1", "header": {"created_at": "2026-99-99T00:00:00Z"}, "payload": {}},
    ],
    ids=str,
)
def test_an_odd_draft_is_judged_and_never_breaks_the_judge(document: dict[str, Any]) -> None:
    for at_ms in (None, 1_795_000_000_000):
        judgement = judge(
            orjson.dumps(document),
            catalogue=read_catalogue(),
            at_ms=at_ms,
            now_ms=1_795_000_000_000,
            draft=True,
        )
        assert judgement.violations
