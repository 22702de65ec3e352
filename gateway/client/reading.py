"""From the JSON of the agency API to values; what does not fit is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson

from gateway.client.errors import AnswerUnreadableError, ProblemError, problem_from
from gateway.client.model import (
    Accepted,
    Change,
    Checked,
    Conversation,
    Deadline,
    InboxPage,
    LogPlace,
    MaySend,
    MessageException,
    MessageType,
    Received,
    RequestStatus,
    Room,
    Summary,
    TimelineEvent,
    Tracked,
    ValueWarning,
    Verification,
    WhoAmI,
)

T = TypeVar("T")

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def read_answer(body: bytes, read: Callable[[Any], T]) -> T:
    """Return the value in an answer.

    Raises:
        AnswerUnreadableError: Not the JSON that the API documents.
    """
    try:
        return read(orjson.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = "the answer is not one of the agency API: is the URL that of an Entente node?"
        raise AnswerUnreadableError(msg) from error


def read_lines(body: bytes, count: int, read: Callable[[Any], T]) -> list[T | ProblemError]:
    """Return the results of a batch, refusals as values.

    Args:
        body: The answer.
        count: Lines that were sent.
        read: Reads the result of a line.

    Raises:
        AnswerUnreadableError: Not one line for each message.
    """

    def result(document: Mapping[str, Any]) -> T | ProblemError:
        if "problem" in document:
            return problem_from(document["problem"], status=int(document["status"]))
        return read(document["result"])

    lines = body.split(b"\n")
    if lines[-1] != b"" or len(lines) != count + 1:
        msg = "the answer to a batch has not one line for each message"
        raise AnswerUnreadableError(msg)
    return [read_answer(line, result) for line in lines[:-1]]


def accepted(document: Mapping[str, Any]) -> Accepted:
    """Read a 202."""
    return Accepted(
        message_id=_id(document, "message_id"),
        status=_text(document, "status"),
        accepted_at=_time(document["accepted_at"]),
        audit=_place(document["audit"]),
        message=_object(document, "message"),
        warnings=_warnings(document),
    )


def checked(document: Mapping[str, Any]) -> Checked:
    """Read the answer to a message that would be accepted."""
    return Checked(message=_object(document, "message"), warnings=_warnings(document))


def _warnings(document: Mapping[str, Any]) -> tuple[ValueWarning, ...]:
    return tuple(
        ValueWarning(
            warning=_text(item, "warning"), pointer=_text(item, "pointer"), message=_text(item, "message")
        )
        for item in document.get("warnings", ())
    )


def summary(document: Mapping[str, Any]) -> Summary:
    """Read what every listing says of a message."""
    return Summary(
        message_id=_id(document, "message_id"),
        type=_text(document, "type"),
        precedence=_text(document, "precedence"),
        sender=_text(document, "from"),
        addressees=tuple(document["to"]),
        conversation_id=_id(document, "conversation_id"),
        seq=int(document["seq"]),
        in_reply_to=document["in_reply_to"],
        created_at=_time(document["created_at"]),
        expires_at=_time(document["expires_at"]),
        reply_by=_time_or_none(document["reply_by"]),
        status=document.get("status", ""),
    )


def tracked(document: Mapping[str, Any]) -> Tracked:
    """Read an own message with its timeline."""
    exception = document["exception"]
    return Tracked(
        summary=summary(document),
        timeline=tuple(
            TimelineEvent(
                event=_text(event, "event"),
                time=_time(event["time"]),
                log=_place_or_none(event["log"]),
                agency=event.get("agency"),
            )
            for event in document["timeline"]
        ),
        collected_by={item["agency"]: _time_or_none(item["collected_at"]) for item in document["addressees"]},
        exception=None
        if exception is None
        else MessageException(
            code=_text(exception, "code"),
            text=_text(exception, "text"),
            rule=exception["rule"],
            rule_text=exception["rule_text"],
            next_step=_text(exception, "next_step"),
        ),
    )


def received(document: Mapping[str, Any]) -> Received:
    """Read a received message."""
    facts = document.get("verification")
    return Received(
        summary=summary(document),
        received_at=_time(document["received_at"]),
        collected_at=_time_or_none(document["collected_at"]),
        flags=tuple(document["flags"]),
        in_force=None if document["in_force"] is None else _object(document, "in_force"),
        message=None if document["message"] is None else _object(document, "message"),
        verification=None
        if facts is None
        else Verification(
            log=_place(facts["log"]),
            checkpoint_size=int(facts["checkpoint"]["size"]),
            checkpoint_root=_text(facts["checkpoint"], "root"),
            receipt=_place_or_none(facts["receipt"]),
            from_node=_text(facts, "from_node"),
            type_sha384=_text(facts, "type_sha384"),
        ),
    )


def inbox_page(document: Mapping[str, Any]) -> InboxPage:
    """Read a page of the inbox."""
    return InboxPage(
        messages=tuple(received(item) for item in document["messages"]), following=document["next"]
    )


def conversation(document: Mapping[str, Any]) -> Conversation:
    """Read a conversation."""
    messages = document.get("messages", ())
    return Conversation(
        conversation_id=_id(document, "conversation_id"),
        state=_text(document, "state"),
        overdue=bool(document["overdue"]),
        open_until=_time_or_none(document["open_until"]),
        missing={agency: tuple(numbers) for agency, numbers in document["missing"].items()},
        type=_text(document, "type"),
        opened_by=_text(document, "opened_by"),
        opened_at=_time(document["opened_at"]),
        last_message_at=_time(document["last_message_at"]),
        count=int(document["count"]),
        requests=tuple(_request(item) for item in document["requests"]),
        deadlines=tuple(_deadline(item) for item in document.get("deadlines", ())),
        room=_room_or_none(document.get("room")),
        messages=tuple(summary(item) for item in messages),
        changes={
            _id(item, "message_id"): tuple(_change(change) for change in item["changes"])
            for item in messages
            if item["changes"]
        },
        terms={
            _id(item, "message_id"): _object(item, "terms") for item in messages if item["terms"] is not None
        },
    )


def conversation_page(document: Mapping[str, Any]) -> tuple[Conversation, str | None]:
    """Read a conversation with a page of its messages; return it and the cursor of the next page."""
    following = document["next"]
    return conversation(document), None if following is None else str(following)


def joined(pages: Sequence[Conversation]) -> Conversation:
    """Return a conversation with the messages of all of its pages; of the rest, what the last one says."""
    *before, last = pages
    if not before:
        return last
    erasures = (item for page in before for item in page.deadlines if item.kind == "delete_by")
    deadlines = sorted((*last.deadlines, *erasures), key=lambda item: (item.at, item.kind, item.message_id))
    return replace(
        last,
        deadlines=tuple(deadlines),
        messages=tuple(item for page in pages for item in page.messages),
        changes={key: changes for page in pages for key, changes in page.changes.items()},
        terms={key: terms for page in pages for key, terms in page.terms.items()},
    )


def _request(document: Mapping[str, Any]) -> RequestStatus:
    return RequestStatus(
        message_id=_id(document, "message_id"),
        type=_text(document, "type"),
        awaits=bool(document["awaits"]),
        state=_text(document, "state"),
        step=_text(document, "step"),
        due=_time_or_none(document["due"]),
        last=_change_or_none(document["last"]),
    )


def _deadline(document: Mapping[str, Any]) -> Deadline:
    return Deadline(
        kind=_text(document, "kind"),
        at=_time(document["at"]),
        message_id=_id(document, "message_id"),
        agencies=tuple(document["agencies"]),
        owed=bool(document["owed"]),
        overdue=bool(document["overdue"]),
    )


def _room_or_none(document: Mapping[str, Any] | None) -> Room | None:
    if document is None:
        return None
    return Room(
        opened_by=_text(document, "opened_by"),
        operation=_text(document, "operation"),
        members={item["agency"]: item["role"] for item in document["members"]},
        allowed_types=tuple(document["allowed_types"]),
        starts_at=_time(document["starts_at"]),
        ends_at=_time(document["ends_at"]),
        closed_by=_change_or_none(document["closed_by"]),
    )


def _change(document: Mapping[str, Any]) -> Change:
    return Change(
        change=document.get("change", ""),
        message_id=_id(document, "message_id"),
        type=_text(document, "type"),
        sender=_text(document, "from"),
        created_at=_time(document["created_at"]),
        at=_time_or_none(document["at"]),
    )


def _change_or_none(document: Mapping[str, Any] | None) -> Change | None:
    return None if document is None else _change(document)


def message_type(document: Mapping[str, Any]) -> MessageType:
    """Read a message type."""
    return MessageType(
        id=_text(document, "type"),
        title=_text(document, "title"),
        description=_text(document, "description"),
        sha384=_text(document, "sha384"),
        terms=_object(document, "terms"),
        schema=document.get("schema"),
    )


def who_am_i(document: Mapping[str, Any]) -> WhoAmI:
    """Read who the caller is."""
    return WhoAmI(
        nation=_text(document, "nation"),
        agency=_text(document, "agency"),
        name=document["name"],
        node=_text(document, "node"),
        peer_node=_text(document["peer"], "node"),
        spki_sha256=_text(document["certificate"], "spki_sha256"),
        certificate_expires_at=_time(document["certificate"]["expires_at"]),
        may_send=tuple(
            MaySend(
                type=_text(item, "type"),
                title=_text(item, "title"),
                addressees=tuple(item["to"]),
                opens=bool(item["opens"]),
            )
            for item in document["may_send"]
        ),
    )


def time_field(name: str) -> Callable[[Any], datetime]:
    """Return what reads one time of an answer."""
    return lambda document: _time(document[name])


def items(name: str, read: Callable[[Any], T]) -> Callable[[Any], tuple[tuple[T, ...], str | None]]:
    """Return what reads a page of a listing: its items and the cursor behind it."""
    return lambda document: (tuple(read(item) for item in document[name]), document.get("next"))


def plain(document: Any) -> dict[str, Any]:
    """Read a JSON object as it is."""
    if not isinstance(document, dict):
        raise TypeError
    return document


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise TypeError
    return value


def _id(document: Mapping[str, Any], name: str) -> str:
    """Return an id, which callers put into paths and names of files: nothing else may stand there."""
    value = _text(document, name)
    if _UUID.fullmatch(value) is None:
        raise ValueError
    return value


def _object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    return plain(document[name])


def _place(document: Mapping[str, Any]) -> LogPlace:
    return LogPlace(origin=_text(document, "origin"), index=int(document["index"]))


def _place_or_none(document: Mapping[str, Any] | None) -> LogPlace | None:
    return None if document is None else _place(document)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else _time(text)
