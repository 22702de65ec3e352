"""A node's memory of conversations without a database, and messages that fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.catalogue import read_catalogue
from gateway.core.message.instants import instant_ms
from gateway.core.message.registry import Catalogue
from gateway.core.message.threads import (
    CLOSING,
    AppliedEffect,
    NewEffect,
    Side,
    StoredMessage,
    ThreadVerdict,
    effects_of,
    examine_thread,
    outline_of,
    uuid_bytes,
)
from tests.unit.core.message.rules.samples import ROOT, changed, example

CATALOGUE: Catalogue = read_catalogue(ROOT / "schemas")
SEQ = "/header/conversation/seq"
ANSWERED = "/header/conversation/in_reply_to"
CONVERSATION = "/header/conversation/id"
SENDER = "/header/from/agency"


@dataclass
class Memory:
    """What a node has sent and accepted, kept in lists: a `ThreadView` without a database."""

    documents: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    closers: dict[bytes, dict[str, Any]] = field(default_factory=dict)
    erased: set[bytes] = field(default_factory=set)
    opened: list[bytes] = field(default_factory=list)
    applied: dict[bytes, list[AppliedEffect]] = field(default_factory=dict)

    def add(self, *documents: dict[str, Any]) -> Memory:
        """Accept messages, each as the next one, without asking any rule."""
        for document in documents:
            effects = effects_of(document, catalogue=CATALOGUE, threads=self)
            # A node keeps no more of a message until it is accepted.
            assert effects_of(outline_of(document), catalogue=CATALOGUE, threads=self) == effects
            for new in effects:
                self.applied.setdefault(new.subject, []).append(_applied(document, new))
            if any(new.effect in CLOSING for new in effects):
                answered = uuid_bytes(document["header"]["conversation"]["in_reply_to"])
                self.closers.setdefault(answered, document)
            self.documents[uuid_bytes(document["header"]["message_id"])] = document
        return self

    def find(self, message_id: bytes) -> StoredMessage | None:
        document = self.documents.get(message_id)
        if document is None:
            return None
        header = document["header"]
        return StoredMessage(
            message_id=message_id,
            type=document["type"],
            conversation_id=uuid_bytes(header["conversation"]["id"]),
            nation=header["from"]["nation"],
            from_agency=header["from"]["agency"],
            to_agencies=tuple(addressee["agency"] for addressee in header["to"]),
            purpose=header["purpose"]["code"],
            reply_by_ms=instant_ms(header["reply_by"]) if "reply_by" in header else None,
            in_reply_to=uuid_bytes(answered)
            if (answered := header["conversation"].get("in_reply_to"))
            else None,
        )

    def last_seq(self, conversation_id: bytes, agency: str) -> int:
        numbers = [
            document["header"]["conversation"]["seq"]
            for document in self.documents.values()
            if uuid_bytes(document["header"]["conversation"]["id"]) == conversation_id
            and document["header"]["from"]["agency"] == agency
        ]
        return max(numbers, default=0)

    def content(self, message_id: bytes) -> dict[str, Any] | None:
        self.opened.append(message_id)
        return None if message_id in self.erased else self.documents.get(message_id)

    def replies(self, message_id: bytes) -> Sequence[StoredMessage]:
        found = (self.find(reply_id) for reply_id in self.documents)
        return [reply for reply in found if reply is not None and reply.in_reply_to == message_id]

    def has_void_replies(self, _message_id: bytes) -> bool:
        return False  # what is in the lists counts

    def closed_by(self, message_id: bytes) -> str | None:
        closer = self.closers.get(message_id)
        return None if closer is None else str(closer["header"]["from"]["nation"])

    def effects(self, subject: bytes) -> Sequence[AppliedEffect]:
        return self.applied.get(subject, [])

    def erase(self, document: dict[str, Any]) -> None:
        self.erased.add(uuid_bytes(document["header"]["message_id"]))


def _answered(document: dict[str, Any]) -> bytes | None:
    answered = document["header"]["conversation"].get("in_reply_to")
    return None if answered is None else uuid_bytes(answered)


def _applied(document: dict[str, Any], new: NewEffect) -> AppliedEffect:
    header = document["header"]
    return AppliedEffect(
        effect=new.effect,
        message_id=uuid_bytes(header["message_id"]),
        type=document["type"],
        from_agency=header["from"]["agency"],
        to_agencies=tuple(addressee["agency"] for addressee in header["to"]),
        created_ms=instant_ms(header["created_at"]),
        at_ms=new.at_ms,
    )


def ask(memory: Memory, document: dict[str, Any], side: Side = "sender") -> ThreadVerdict:
    verdict = examine_thread(document, catalogue=CATALOGUE, threads=memory, side=side)
    outline = outline_of(document)
    assert examine_thread(outline, catalogue=CATALOGUE, threads=memory, side=side) == verdict
    return verdict


def broken(memory: Memory, document: dict[str, Any], side: Side = "sender") -> list[tuple[str, str]]:
    return [(violation.rule, violation.pointer) for violation in ask(memory, document, side).violations]


def new_id(number: int) -> str:
    return f"01a1a600-4d00-7b8a-82de-{number:012x}"


def reply_to(
    request: dict[str, Any], type_name: str, changes: dict[str, Any] | None = None, *, number: int = 1
) -> dict[str, Any]:
    """Return a reply from the first addressee of a request, with a number and an id of its own."""
    header = request["header"]
    addressee = header["to"][0]
    base = {
        "/header/message_id": new_id(number),
        "/header/from/nation": addressee["nation"],
        "/header/from/agency": addressee["agency"],
        "/header/from/officer_ref": addressee["nation"].lower() + "-7c1e09d2a4b6",
        "/header/to": [{"nation": header["from"]["nation"], "agency": header["from"]["agency"]}],
        "/header/conversation": {
            "id": header["conversation"]["id"],
            "pattern": header["conversation"]["pattern"],
            "seq": number,
            "in_reply_to": header["message_id"],
        },
        "/header/purpose": header["purpose"],
    }
    return changed(type_name, base | (changes or {}))


REQUEST = example("assist.request")  # FR.DGDDI.DNRED to US.ICE.HSI, three questions
REFERRAL = example("target.cargo_referral")  # US.CBP.NTC to FR.DGDDI.SARC
EXAMINATION = example("inspect.request")  # US.CBP.NTC to FR.DGDDI.SARC, two containers
ALERT = example("alert.urgent")


def _id_of(document: dict[str, Any], number: int) -> str:
    """Return an id with the time of a message, so that the message as a whole stays good."""
    milliseconds = f"{instant_ms(document['header']['created_at']):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7b8a-82de-{number:012x}"


def about(
    target: dict[str, Any], type_name: str, changes: dict[str, Any] | None = None, *, number: int = 1
) -> dict[str, Any]:
    """Return a message about another, in its conversation, from whoever may say so.

    From the agency that sent the target for what concerns own messages, else from its first
    addressee. It is the agency's message of that number in the conversation.
    """
    header = target["header"]
    field = "about" if type_name == "gov.feedback" else "target"
    own = type_name in {"gov.correction", "gov.retraction", "gov.use_change"}
    sender, addressee = header["from"], header["to"][0]
    if not own:
        sender, addressee = addressee, sender
    base = {
        "/header/message_id": _id_of(example(type_name), number),
        "/header/from": {
            "nation": sender["nation"],
            "agency": sender["agency"],
            "officer_ref": sender["nation"].lower() + "-7c1e09d2a4b6",
        },
        "/header/to": [{"nation": addressee["nation"], "agency": addressee["agency"]}],
        "/header/conversation": {
            "id": header["conversation"]["id"],
            "pattern": "LIFECYCLE",
            "seq": number,
        },
        f"/payload/{field}": header["message_id"],
    }
    return changed(type_name, base | (changes or {}))


def follow_up(number: int, agency: str = "FR.DGDDI.DNRED") -> dict[str, Any]:
    return changed(
        "intel.spontaneous",
        {
            "/header/message_id": new_id(number),
            CONVERSATION: REQUEST["header"]["conversation"]["id"],
            SEQ: number,
            SENDER: agency,
        },
    )


def result(container: str, number: int) -> dict[str, Any]:
    return reply_to(EXAMINATION, "inspect.result", {"/payload/container": container}, number=number)


FIRST, SECOND = (container["number"] for container in EXAMINATION["payload"]["consignment"]["containers"])
