"""The commands of an agency, with two real nodes behind mutual TLS."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson
import pytest
import structlog
from typer.testing import CliRunner

from gateway.cli import app
from tests.agency_site import AgencySite, open_site
from tests.world import make_draft

RUN = CliRunner()
SARC, NTC = "FR.DGDDI.SARC", "US.CBP.NTC"
UNKNOWN = "01a20847-0135-7993-b063-b5d5cb27d3ff"


class Background:
    """The site of `tests.agency_site` in a thread of its own, as commands have no event loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.site: AgencySite | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        self._loop.close()

    async def _serve(self) -> None:
        async with open_site(self._folder) as self.site:
            self._ready.set()
            await self._stop.wait()


@dataclass(slots=True, kw_only=True)
class Terminal:
    """Runs commands as an agency."""

    site: AgencySite
    folder: Path

    def run(self, *arguments: str, agency: str = SARC, text: str | None = None) -> Any:
        leaf = self.site.leaves[agency]
        nation = agency[:2] if agency[:2] in self.site.ports else "FR"
        env = {"ENTENTE_AS": str(leaf.folder), "ENTENTE_URL": self.site.url(nation)}
        return RUN.invoke(app, list(arguments), env=env, input=text)

    def json(self, *arguments: str, agency: str = SARC) -> list[Any]:
        result = self.run(*arguments, "--json", agency=agency)
        assert result.exit_code == 0, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]

    def draft(self, name: str = "draft.json") -> str:
        path = self.folder / name
        path.write_bytes(orjson.dumps(make_draft("FR", self.site.world.clock.now_ms())))
        return str(path)

    def send(self) -> str:
        (sent,) = self.json("send", self.draft())
        return str(sent["message_id"])


@pytest.fixture(scope="module")
def background(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Background]:
    # The nodes run in this process: their log lines must not mix with what a command prints.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with Background(tmp_path_factory.mktemp("site")) as opened:
        yield opened
    structlog.reset_defaults()


@pytest.fixture
def terminal(background: Background, tmp_path: Path) -> Terminal:
    assert background.site is not None
    return Terminal(site=background.site, folder=tmp_path)


def test_lines_are_named_by_their_numbers_and_what_is_too_long_by_its_file(terminal: Terminal) -> None:
    draft = Path(terminal.draft()).read_bytes()
    lines, huge = terminal.folder / "lines.ndjson", terminal.folder / "huge.json"
    lines.write_bytes(draft + b"\n\n\n" + draft + b"\n")
    huge.write_bytes(b'{"type":"' + b"x" * 17_000_000 + b'"}')

    result = terminal.run("send", str(lines), str(huge), terminal.draft("last.json"), "--json")

    assert result.exit_code == 1
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(answer["file"]).name for answer in answers] == [
        "lines.ndjson:1",
        "lines.ndjson:4",
        "huge.json",
        "last.json",
    ]
    assert [answer.get("problem", {}).get("code") for answer in answers] == [
        None,
        None,
        "body-too-large",
        None,
    ]


def test_a_message_is_sent_watched_read_stored_and_acknowledged(terminal: Terminal) -> None:
    message_id = terminal.send()
    assert terminal.run("watch", message_id, "--until", "received").exit_code == 0

    listed = terminal.run("inbox", agency=NTC)
    assert message_id in listed.stdout
    shown = terminal.run("inbox", message_id, agency=NTC)
    assert "fr.gateway.test/exchange/us at" in shown.stdout
    assert '"headline"' in shown.stdout
    out = terminal.folder / "received"
    assert terminal.run("inbox", "--out", str(out), "--ack", agency=NTC).exit_code == 0
    assert json.loads((out / f"{message_id}.json").read_text())["header"]["message_id"] == message_id
    assert terminal.run("inbox", agency=NTC).stdout == "The inbox is empty.\n"

    watched = terminal.run("watch", message_id)
    assert watched.exit_code == 0
    assert "collected by US.CBP.NTC" in watched.stdout
    assert "us.gateway.test/exchange/fr" in terminal.run("status", message_id).stdout
    (status,) = terminal.json("status", message_id)
    assert [event["event"] for event in status["timeline"]][-1] == "collected"
    assert terminal.run("ack", message_id, agency=NTC).stdout.startswith("collected")


def test_a_line_of_a_file_is_named_by_its_number_there(terminal: Terminal) -> None:
    draft = json.dumps(json.loads(Path(terminal.draft()).read_text(encoding="utf-8")))
    lines = terminal.folder / "lines.ndjson"
    lines.write_text(f'{draft}\n\n{{"type": "no.such/1"}}\r\n{draft}', encoding="utf-8")

    result = terminal.run("send", str(lines))

    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["accepted", "refused", "accepted"]
    assert f"{lines}:3: message-refused" in result.stderr


def test_one_line_a_message_and_no_for_any_refusal(terminal: Terminal) -> None:
    bad = terminal.folder / "bad.json"
    bad.write_text('{"type": "no.such/1"}')

    result = terminal.run("send", terminal.draft(), str(bad), terminal.draft("b.json"))

    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["accepted", "refused", "accepted"]
    assert "SCHEMA" in result.stderr
    french = terminal.run("send", str(bad), "--language", "fr")
    assert "Message refusé" in french.stderr


def test_standard_input_holds_one_document_or_one_a_line(terminal: Terminal) -> None:
    draft = Path(terminal.draft()).read_text()
    pretty = json.dumps(json.loads(draft), indent=2)

    one = terminal.run("send", "-", text=pretty)
    many = terminal.run("send", "-", "--json", text=f"{draft}\n\n{draft}\n{{}}\n")

    assert one.exit_code == 0
    assert many.exit_code == 1
    found = [json.loads(line) for line in many.stdout.splitlines()]
    assert [item["file"] for item in found] == [f"standard input:{number}" for number in (1, 3, 4)]
    assert found[2]["problem"]["status"] == 422


def test_with_its_key_a_command_that_is_repeated_sends_nothing_twice(terminal: Terminal) -> None:
    draft = terminal.draft()
    (one,) = terminal.json("send", draft, "--key", "report-7")
    (again,) = terminal.json("send", draft, "--key", "report-7")
    assert again["message_id"] == one["message_id"]
    assert terminal.json("send", draft)[0]["message_id"] != one["message_id"]

    files = (draft, terminal.draft("b.json"))
    many = terminal.json("send", *files, "--key", "report-8")
    repeated = terminal.json("send", *files, "--key", "report-8")
    assert [item["message_id"] for item in repeated] == [item["message_id"] for item in many]
    assert terminal.json("send", files[1], "--key", "report-8:2")[0]["message_id"] == many[1]["message_id"]


def test_a_key_is_refused_where_it_could_not_keep_what_it_promises(terminal: Terminal) -> None:
    draft = terminal.draft()
    lines = terminal.folder / "lines.ndjson"
    lines.write_bytes((Path(draft).read_bytes() + b"\n") * 501)
    before = len(terminal.json("sent", "--limit", "1000"))

    for arguments in ((draft, "--key", "a b"), (draft, "--key", "k", "--check"), (str(lines), "--key", "k")):
        result = terminal.run("send", *arguments)
        assert result.exit_code == 2
        assert "--key" in result.stderr
    assert len(terminal.json("sent", "--limit", "1000")) == before


def test_checking_sends_nothing(terminal: Terminal) -> None:
    before = len(terminal.json("sent", "--limit", "1000"))
    checked = terminal.run("send", terminal.draft(), "--check")

    assert checked.exit_code == 0
    assert checked.stdout.startswith("good")
    assert len(terminal.json("sent", "--limit", "1000")) == before


def test_a_warning_stands_below_what_was_accepted(terminal: Terminal) -> None:
    document = make_draft("FR", terminal.site.world.clock.now_ms())
    document["payload"]["place"] = {"unlocode": "FRQ99"}
    path = terminal.folder / "warned.json"
    path.write_bytes(orjson.dumps(document))

    for extra in ((), ("--check",)):
        sent = terminal.run("send", str(path), *extra, "--language", "fr")
        first, second = sent.stdout.splitlines()
        assert sent.exit_code == 0
        assert first.startswith(("accepted", "good"))
        assert second.startswith("  W-LOCODE   /payload/place/unlocode: Ce lieu ne figure pas")
    (found,) = terminal.json("send", str(path))
    assert [item["warning"] for item in found["warnings"]] == ["W-LOCODE"]


def test_what_is_not_there_is_a_no(terminal: Terminal) -> None:
    for arguments in (
        ("status", UNKNOWN),
        ("status", "nonsense"),
        ("withdraw", UNKNOWN),
        ("ack", UNKNOWN),
        ("inbox", UNKNOWN),
        ("conversations", UNKNOWN),
        ("watch", UNKNOWN),
    ):
        result = terminal.run(*arguments)
        assert result.exit_code == 1, arguments
        assert "not-found (404)" in result.stderr


def test_a_sent_message_cannot_be_withdrawn(terminal: Terminal) -> None:
    message_id = terminal.send()
    assert terminal.run("watch", message_id, "--until", "delivered").exit_code == 0

    result = terminal.run("withdraw", message_id)

    assert result.exit_code == 1
    assert "already-sent (409)" in result.stderr


def test_conversations_are_listed_and_shown(terminal: Terminal) -> None:
    message_id = terminal.send()
    listed = terminal.run("conversations")
    found = next(item for item in terminal.json("conversations") if item["conversation_id"] == message_id)

    assert message_id in listed.stdout
    assert found["state"] == "OPEN"
    shown = terminal.run("conversations", message_id, "--language", "fr").stdout
    assert "alert.urgent/1" in shown
    assert "réponse" in shown
    (whole,) = terminal.json("conversations", message_id)
    assert len(whole["messages"]) == 1
    assert [item["state"] for item in whole["requests"]] == ["OPEN"]
    assert "reply_by" in [item["kind"] for item in whole["deadlines"]]
    opened = terminal.json("conversations", "--state", "open", "--limit", "1000")
    assert message_id in [item["conversation_id"] for item in opened]
    assert {item["state"] for item in opened} == {"OPEN"}
    assert terminal.json("conversations", "--state", "CANCELLED") == []
    assert terminal.run("conversations", "--state", "CLOSED").exit_code == 2


def test_whoami_and_sent_speak_to_people_and_machines(terminal: Terminal) -> None:
    terminal.send()
    assert "FR.DGDDI.SARC" in terminal.run("whoami").stdout
    assert terminal.json("whoami")[0]["agency"] == SARC
    assert "alert.urgent/1" in terminal.run("sent").stdout
    assert len(terminal.json("sent", "--limit", "1")) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("send",),
        ("send", "/no/such/file"),
        ("watch", UNKNOWN, "--until", "never"),
        ("inbox", "--ack"),
        ("inbox", "--limit", "0"),
        ("status", UNKNOWN, "--language", "de"),
    ],
)
def test_wrong_usage_is_exit_status_two(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    assert terminal.run(*arguments).exit_code == 2


def test_without_a_folder_or_an_address_nothing_is_asked(terminal: Terminal) -> None:
    folder = terminal.site.leaves[SARC].folder
    nameless = RUN.invoke(app, ["whoami"], env={"ENTENTE_AS": "", "ENTENTE_URL": ""})
    addressless = RUN.invoke(app, ["whoami", "--as", str(folder)], env={"ENTENTE_URL": ""})

    assert nameless.exit_code == 2
    assert addressless.exit_code == 1
    assert "identity-unusable" in addressless.stderr


def test_a_certificate_that_nobody_registered_is_told(terminal: Terminal) -> None:
    result = terminal.run("whoami", agency="nobody")

    assert result.exit_code == 1
    assert "certificate-unknown (403)" in result.stderr


def test_a_certificate_that_ends_the_handshake_is_hinted_at(terminal: Terminal) -> None:
    result = terminal.run("whoami", agency="expired")

    assert result.exit_code == 1
    assert "certificate" in result.stderr
