from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from gateway.catalogue import catalogue_folder
from gateway.cli import inbox
from gateway.cli.inbox import print_message, print_messages
from gateway.client import Client, Received
from gateway.client.model import Summary

BANNER = "CUI//INV/LEI//REL TO USA, FRA//THIRD PARTY RULE"
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


def message() -> dict[str, Any]:
    path = catalogue_folder() / "target.cargo_referral/examples/valid-02-target-cargo-referral.json"
    document: dict[str, Any] = orjson.loads(path.read_bytes())
    document["header"]["marking"]["cui_categories"] = ["INV", "LEI"]
    return document


def received(content: dict[str, Any] | None) -> Received:
    header = message()["header"]
    return Received(
        summary=Summary(
            message_id=header["message_id"],
            type="target.cargo_referral/1",
            precedence="PRIORITY",
            sender="US.CBP.NTC",
            addressees=("FR.DGDDI.SARC",),
            conversation_id=header["message_id"],
            seq=1,
            in_reply_to=None,
            created_at=NOON,
            expires_at=NOON,
            reply_by=None,
            status="",
        ),
        received_at=NOON,
        collected_at=None,
        flags=(),
        in_force=None,
        message=content,
        verification=None,
    )


def test_a_message_is_read_between_two_banners(capsys: pytest.CaptureFixture[str]) -> None:
    print_message(received(message()), as_json=False)

    facts, above, text, below = capsys.readouterr().out.split("\n\n")
    assert above == f"{BANNER}  (= DIFFUSION RESTREINTE)"
    assert below.strip() == above
    assert "target.cargo_referral/1" in facts
    assert orjson.loads(text) == message()


def test_a_listing_shows_how_each_message_is_marked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")

    print_messages((received(message()), received(None)))

    marked, erased = capsys.readouterr().out.splitlines()[-2:]
    assert BANNER in marked
    assert BANNER not in erased
    assert "erased" in erased


def in_force(**changes: Any) -> dict[str, Any]:
    return {
        "corrected_by": [],
        "payload": None,
        "terms": None,
        "retracted_by": None,
        "consents": [],
        **changes,
    }


def test_a_message_whose_marking_was_changed_has_the_banner_in_force(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    marking = message()["header"]["marking"] | {"cui_categories": ["SP-INV"], "caveats": []}
    changed = replace(received(message()), in_force=in_force(terms={"marking": marking}))

    print_message(changed, as_json=False)
    printed = capsys.readouterr().out
    print_messages((changed,))

    assert "CUI//SP-INV//REL TO USA, FRA" in printed
    assert BANNER not in printed
    assert "terms-changed" in printed
    listed = capsys.readouterr().out
    assert "CUI//SP-INV//REL TO USA, FRA" in listed
    assert "terms-changed" in listed


def test_a_message_shows_what_became_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = in_force(
        corrected_by=[{"message_id": "x"}], payload={"summary": "After."}, retracted_by={"at": None}
    )

    print_message(replace(received(message()), in_force=found), as_json=False)

    printed = capsys.readouterr().out
    assert "corrected, retracted" in printed
    assert "After." in printed.split("in force now:")[1]


class Inbox:
    """A client that takes note of what is acknowledged, and of what is durable by then."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps

    def ack_batch(self, message_ids: list[str]) -> list[datetime]:
        self.steps += message_ids
        return [NOON for _ in message_ids]


def test_what_is_acknowledged_is_in_its_folder_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(inbox, "fsync_folder", lambda folder: steps.append(folder.name))
    item = received(message())

    inbox._store(cast("Client", Inbox(steps)), (item,), tmp_path / "received", ack=True)

    assert steps == ["received", tmp_path.name, item.message_id]
    stored = tmp_path / "received" / f"{item.message_id}.json"
    assert orjson.loads(stored.read_bytes()) == message()


def test_an_erased_message_does_not_stay_in_the_inbox_for_ever(tmp_path: Path) -> None:
    steps: list[str] = []
    erased = received(None)

    inbox._store(cast("Client", Inbox(steps)), (erased,), tmp_path, ack=True)

    assert steps == [erased.message_id]
    assert list(tmp_path.iterdir()) == []


def test_an_erased_message_has_no_banner(capsys: pytest.CaptureFixture[str]) -> None:
    print_message(received(None), as_json=False)

    assert "REL TO" not in capsys.readouterr().out


def test_web_addresses_are_defanged_for_people_and_whole_for_machines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = message()
    content["payload"]["reasons"] = ["Sold at https://shop.example/item/1"]
    changed = {"corrected_by": [], "payload": content["payload"], "terms": None}
    item = replace(received(content), in_force={**changed, "retracted_by": None, "consents": []})

    print_message(item, as_json=False)
    shown = capsys.readouterr().out
    print_message(item, as_json=True)
    machine = capsys.readouterr().out

    assert shown.count("Sold at hxxps://shop[.]example/item/1") == 2
    assert "https://" not in shown
    assert orjson.loads(machine)["message"] == content


def test_whoever_asks_for_french_reads_french(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")

    print_message(received(message()), "fr", as_json=False)
    facts = capsys.readouterr().out.split("{")[0]
    print_messages((received(message()),), "fr")
    heading = capsys.readouterr().out.splitlines()[0]
    print_messages((), "fr")

    assert "échange" in facts
    assert not set(facts.split()) & {"from", "conversation", "received", "collected", "receipt"}
    assert heading.split()[:6] == ["urgence", "type", "de", "reçu", "réponse", "avant"]
    assert heading.split()[6:] == ["identifiant", "marquage", "signes"]
    assert capsys.readouterr().out == "La boîte de réception est vide.\n"
