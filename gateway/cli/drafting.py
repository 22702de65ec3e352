"""Making and judging drafts without a node: what `entente schema new` and `check` stand on."""

from __future__ import annotations

import copy
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson

from gateway.core.message.draft import Sender, complete, verify_size
from gateway.core.message.examine import departs_from_schema, examine_document
from gateway.core.message.instants import day_of_instant, moment_ms
from gateway.core.message.reference_lists import NO_LISTS, ReferenceLists
from gateway.core.message.registry import Catalogue, MessageType
from gateway.core.message.strict_json import JsonRefusedError, MessageTooLargeError, parse_json
from gateway.core.message.threads import StoredMessage
from gateway.core.message.violation import RULE_JSON, Violation
from gateway.core.message.warning import ValueWarning, warnings_of
from gateway.core.message.wording import Wording

Json = dict[str, Any]

ANSWERED: Final = "ID-OF-THE-MESSAGE-THAT-THIS-ANSWERS"
"""Stands in a new reply draft where its writer puts an id."""

_ASSUMED_PURPOSE: Final = "CUSTOMS_ENFORCEMENT"
_ASSUMED_AREAS: Final = ("NARCOTICS",)
"""Stand for those of the message that a reply draft answers: a reply without any takes them from there."""

_TOO_LARGE: Final = Wording(
    en="a message, with what a node fills in, is at most 1,048,576 bytes long",
    fr="un message, avec ce que le nœud y complète, compte au plus 1 048 576 octets",
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_KEY_OF_THE_DAY: Final = re.compile(r"mk-(\d{8})-[a-z]{2}")
_FIXED: Final = frozenset({"dob", "valid_until", "mrz"})
"""Fields of a person or a paper, which do not move with the message; a time among them does."""

_FILLED_IN: Final = (
    "schema_version",
    "message_id",
    "created_at",
    "expires_at",
    "from",
    "language",
    "precedence",
    "conversation",
    "reply_by",
    "marking",
    "handling",
    "legal_basis",
    "use",
    "data_protection",
    "references",
    "attachments",
)
_REPLY_FILLED_IN: Final = ("to", "purpose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a node would say of a document, without looking at earlier messages.

    Attributes:
        document: The document, completed if it was a draft; None if it cannot be read.
        violations: Everything wrong with it.
        warnings: Values of a good document that are in no reference list.
    """

    document: Json | None
    violations: tuple[Violation, ...]
    warnings: tuple[ValueWarning, ...] = ()


def judge(
    body: bytes,
    *,
    catalogue: Catalogue,
    at_ms: int | None,
    now_ms: int,
    draft: bool,
    nation: str | None = None,
    lists: ReferenceLists = NO_LISTS,
) -> Judgement:
    """Judge a message as a node would.

    Args:
        body: The message.
        catalogue: The catalogue to judge by.
        at_ms: Time of judgement, UTC milliseconds; None for the message's own creation.
        now_ms: The present.
        draft: Complete what its schema does not accept first, as the node of its sender
            would. A reply is completed as if the message it answers were there and had asked
            for it.
        nation: Nation of the sender, where a draft does not tell.
        lists: Reference lists to look values up in.
    """
    try:
        document = parse_json(body)
        if at_ms is None:
            at_ms = created_ms(document) or now_ms
        violations = examine_document(document, catalogue=catalogue, now_ms=at_ms)
        if draft and departs_from_schema(violations):
            sender = _sender(document, catalogue, nation)
            if sender is not None:
                parent = _parent_of_draft(document, catalogue, sender)
                document = _complete(document, sender, catalogue=catalogue, now_ms=at_ms, parent=parent)
                violations = examine_document(document, catalogue=catalogue, now_ms=at_ms)
    except JsonRefusedError as error:
        return Judgement(document=None, violations=(error.violation,))
    except MessageTooLargeError:
        too_large = Violation(rule=RULE_JSON, pointer="/", wording=_TOO_LARGE)
        return Judgement(document=None, violations=(too_large,))
    warnings = () if violations else warnings_of(document, catalogue.type(document["type"]), lists)
    return Judgement(document=document, violations=violations, warnings=warnings)


def is_draft(document: Json | None) -> bool:
    """Tell whether a document lacks what a node fills in, and so is no whole message yet."""
    header = None if document is None else document.get("header")
    return isinstance(header, dict) and not {"message_id", "created_at"} <= header.keys()


def created_ms(document: Json) -> int | None:
    """Return the creation time of a message, or None if it has none that can be read."""
    header = document.get("header")
    text = header.get("created_at") if isinstance(header, dict) else None
    if not isinstance(text, str) or _TIME.fullmatch(text) is None:
        return None
    try:
        return moment_ms(datetime.fromisoformat(text))
    except ValueError:
        return None


def new_draft(
    message_type: MessageType,
    *,
    catalogue: Catalogue,
    folder: Path,
    now_ms: int,
    in_reply_to: str | None = None,
    nation: str | None = None,
) -> Json | None:
    """Return a draft to fill in: the type's example, made current, without what nodes fill in.

    Args:
        message_type: The type.
        catalogue: The catalogue.
        folder: The catalogue's files, which hold the examples.
        now_ms: The present.
        in_reply_to: Id of the message that is answered, or None.
        nation: Nation that sends it; None for that of the example.

    Returns:
        None if the type has no example.
    """
    example = _example(message_type, folder, answers=in_reply_to is not None)
    if example is None:
        return None
    document: Json = _made_current(example, now_ms)
    if nation not in {None, document["header"]["from"]["nation"]}:
        _turn_round(document, message_type, catalogue)
    parent = _assumed_parent(document, message_type)
    _leave_out(document, catalogue=catalogue, now_ms=now_ms, parent=parent)
    if parent is not None:
        document["header"]["conversation"] = {"in_reply_to": in_reply_to or ANSWERED}
    return document


def _example(message_type: MessageType, folder: Path, *, answers: bool) -> Json | None:
    """Return the first example of a type; where some open and some answer, of those that are asked for."""
    name = message_type.id.rpartition("/")[0]
    paths = sorted((folder / name / "examples").glob("valid-*.json"))
    examples: list[Json] = [parse_json(path.read_bytes()) for path in paths]
    fitting = [example for example in examples if example["type"] == message_type.id]
    for example in fitting:
        if ("in_reply_to" in example["header"]["conversation"]) is answers:
            return example
    return fitting[0] if fitting else None


def _turn_round(document: Json, message_type: MessageType, catalogue: Catalogue) -> None:
    """Let the other nation send an example: its first agency that may, to the first that may get it."""
    header: Json = document["header"]
    receiver = header["from"]["nation"]
    sender = _other(catalogue, receiver)
    agencies = message_type.terms.agencies
    renamed = {
        header["from"]["agency"]: min(agencies[sender]),
        header["to"][0]["agency"]: min(agencies[receiver]),
    }
    header["from"] = {"nation": sender, "agency": min(agencies[sender])}
    header["to"] = [{"nation": receiver, "agency": min(agencies[receiver])}]
    for name in ("marking", "handling", "legal_basis"):
        header.pop(name, None)  # these follow from who sends
    header["language"] = "fr" if sender == "FR" else "en"
    document["payload"] = _renamed(document["payload"], renamed)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a value with agencies replaced, and their nations where these stand beside them."""
    if isinstance(value, dict):
        renamed = {key: _renamed(item, names) for key, item in value.items()}
        if "nation" in renamed and value.get("agency") in names:
            renamed["nation"] = renamed["agency"].partition(".")[0]
        return renamed
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def _leave_out(document: Json, *, catalogue: Catalogue, now_ms: int, parent: StoredMessage | None) -> None:
    """Take out of the header whatever completion puts back so that the message is good again."""
    header: Json = document["header"]
    names = _FILLED_IN + (_REPLY_FILLED_IN if parent is not None else ())

    sender = Sender(nation=header["from"]["nation"], agency=header["from"]["agency"], unit=None)

    declares = header["data_protection"]["contains_personal_data"]

    def is_good() -> bool:
        whole = _complete(document, sender, catalogue=catalogue, now_ms=now_ms, parent=parent)
        # A correction shows by its values, not by its structure, that it holds personal data.
        kept = whole["header"]["data_protection"]["contains_personal_data"] == declares
        return kept and not examine_document(whole, catalogue=catalogue, now_ms=now_ms)

    for name in names:
        if name not in header or (name == "conversation" and parent is not None):
            continue
        kept = header.pop(name)
        if not is_good():
            header[name] = kept


def _complete(
    document: Json, sender: Sender, *, catalogue: Catalogue, now_ms: int, parent: StoredMessage | None
) -> Json:
    """Return a draft completed as the node of its sender would do it.

    Raises:
        MessageTooLargeError: What it became is longer than a message may be.
        JsonRefusedError: What it became holds too many values.
    """
    completed = complete(
        document,
        catalogue=catalogue,
        sender=sender,
        peer_nation=_other(catalogue, sender.nation),
        now_ms=now_ms,
        new_id=lambda: _uuid7(now_ms),
        parent=parent,
        parent_content=None if parent is None else {"header": {"purpose": {"areas": list(_ASSUMED_AREAS)}}},
    )
    verify_size(completed)
    return completed.document


def _assumed_parent(document: Json, message_type: MessageType) -> StoredMessage | None:
    """Return the message that a reply example answers, as far as completion asks for it."""
    header = document["header"]
    answered = header["conversation"].get("in_reply_to")
    if answered is None:
        return None
    return _parent(
        message_type,
        answered=answered,
        sender=(header["from"]["nation"], header["from"]["agency"]),
        addressee=(header["to"][0]["nation"], header["to"][0]["agency"]),
        purpose=header["purpose"]["code"],
    )


def _parent_of_draft(document: Json, catalogue: Catalogue, sender: Sender) -> StoredMessage | None:
    """Return a message that a reply draft could answer, or None if it names none."""
    header, message_type = document.get("header"), catalogue.find(document.get("type"))
    if not isinstance(header, dict) or message_type is None:
        return None
    conversation, purpose = header.get("conversation"), header.get("purpose")
    answered = conversation.get("in_reply_to") if isinstance(conversation, dict) else None
    if not isinstance(answered, str) or _ID.fullmatch(answered) is None:
        return None
    nation = _other(catalogue, sender.nation)
    code = purpose.get("code") if isinstance(purpose, dict) else None
    agencies = message_type.terms.agencies.get(nation)
    if not agencies:
        return None
    addressee = next(_addressees(header.get("to")), min(agencies))
    named = message_type.terms.purposes - {"*", "="}
    return _parent(
        message_type,
        answered=answered,
        sender=(sender.nation, sender.agency),
        addressee=(nation, addressee),
        purpose=code if isinstance(code, str) else min(named, default=_ASSUMED_PURPOSE),
    )


def _parent(
    message_type: MessageType,
    *,
    answered: str,
    sender: tuple[str, str],
    addressee: tuple[str, str],
    purpose: str,
) -> StoredMessage | None:
    """Return the message that a draft answers, or takes back; None for a type that only links to others."""
    terms = message_type.terms
    if terms.reply_to:
        (nation, agency), asked = addressee, sender[1]
    elif "=" in terms.purposes:
        (nation, agency), asked = sender, addressee[1]
    else:
        return None
    return StoredMessage(
        message_id=UUID(answered).bytes,
        type=min(terms.reply_to, default=message_type.id),
        conversation_id=UUID(answered).bytes,
        nation=nation,
        from_agency=agency,
        to_agencies=(asked,),
        purpose=purpose,
        reply_by_ms=None,
    )


def _made_current(example: Json, now_ms: int) -> Any:
    """Return an example as if it were created now; its days keep their distance to that of its creation."""
    created = created_ms(example) or now_ms
    days = timedelta(days=day_of_instant(now_ms) - day_of_instant(created))
    return _moved(example, timedelta(milliseconds=now_ms - created), days)


def _moved(value: Any, by: timedelta, days: timedelta) -> Any:
    """Return a value with its times and its days moved."""
    if isinstance(value, dict):
        return {
            key: copy.deepcopy(item) if key in _FIXED and not _is_time(item) else _moved(item, by, days)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_moved(item, by, days) for item in value]
    if not isinstance(value, str):
        return value
    if _TIME.fullmatch(value):
        moved = datetime.fromisoformat(value) + by
        return f"{moved:%Y-%m-%dT%H:%M:%S}" + (f".{moved.microsecond // 1_000:03d}Z" if "." in value else "Z")
    if _DATE.fullmatch(value):
        return (date.fromisoformat(value) + days).isoformat()
    key = _KEY_OF_THE_DAY.fullmatch(value)
    if key is not None:
        return value.replace(key[1], f"{date.fromisoformat(key[1]) + days:%Y%m%d}")
    return value


def _is_time(value: Any) -> bool:
    """Tell a time from the days that papers carry: a consent is valid until a time."""
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


def _sender(document: Json, catalogue: Catalogue, nation: str | None) -> Sender | None:
    """Return who would send a draft: ``header.from``, or else some agency that may.

    Of the nation that was given, or of the other one than the addressees'.
    """
    agreement = catalogue.agreement
    header = document.get("header")
    fields = header if isinstance(header, dict) else {}
    named = _agency(fields.get("from"))
    if named in agreement.agency_nation:
        return Sender(nation=agreement.agency_nation[named], agency=named, unit=None)
    message_type = catalogue.find(document.get("type"))
    if message_type is None:
        return None
    receivers = [agreement.agency_nation.get(code) for code in _addressees(fields.get("to"))]
    for code, agencies in sorted(message_type.terms.agencies.items()):
        if agencies and (code == nation if nation is not None else code not in receivers):
            return Sender(nation=code, agency=min(agencies), unit=None)
    return None


def _addressees(value: object) -> Iterator[str]:
    for item in value if isinstance(value, list) else ():
        yield _agency(item)


def _agency(value: object) -> str:
    agency = value.get("agency") if isinstance(value, dict) else None
    return agency if isinstance(agency, str) else ""


def _other(catalogue: Catalogue, nation: str) -> str:
    return next(code for code in catalogue.agreement.nations if code != nation)


def _uuid7(now_ms: int) -> bytes:
    value = (now_ms << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return value.to_bytes(16, "big")


def canonical(document: Json) -> bytes:
    """Return a document as people edit it: indented, with a newline at the end."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
