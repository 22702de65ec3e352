"""Complete a draft: fill in what the node, the agreement and the conversation know.

An agency system should say what only it can know: what happened, to whom it is sent, why
and how urgent it is. Identifiers, times, the sender, markings with their equivalent,
handling, retention and the place in a conversation follow from the agreement. They are
filled in here, and the completed message is what is examined, signed and sent.

Nothing the agency wrote is ever changed, so a full message passes as it is. A draft is not
checked before it is completed; what has the wrong form stays, for the schema to refuse.

Spec: docs/spec/messages.md, "Completing drafts".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from gateway.core.message.agreement import Agreement
from gateway.core.message.instants import DAY_MS, HOUR_MS, MINUTE_MS, day_text, instant_ms, time_text
from gateway.core.message.personal_data import PersonalData, find_personal_data
from gateway.core.message.registry import Catalogue, MessageType
from gateway.core.message.schema_documents import HEADER_ID
from gateway.core.message.strict_json import begin_json
from gateway.core.message.threads import StoredMessage, uuid_text
from gateway.core.message.violation import RULE_SCHEMA, Violation
from gateway.core.message.wording import Wording
from gateway.core.quick import quick_value

_NODE_OFFICER: Final = "000000000000"
"""Officer pseudonym that means the node itself."""

# Times outside these are typing errors; what follows from a time is then counted from now.
_EARLIEST_MS: Final = 0
_LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01

# A draft without a time is as old as its own id says, if that is a time to believe.
_OLDEST_ID_MS: Final = DAY_MS
_NEWEST_ID_MS: Final = 5 * MINUTE_MS

# What a draft lacks of these is filled in; an object that has all of them costs one look.
_FROM: Final = frozenset({"nation", "agency", "officer_ref"})
_CONVERSATION: Final = frozenset({"id", "pattern", "seq"})
_PURPOSE: Final = frozenset({"code", "areas"})
_MARKING: Final = frozenset({"policy", "level", "alternative", "releasable_to"})
_HANDLING: Final = frozenset({"codes"})
_DATA_PROTECTION: Final = frozenset(
    {"contains_personal_data", "categories", "subjects", "special_categories", "minors", "safeguards"}
)
_PERSONAL_DATA: Final = _DATA_PROTECTION | {"delete_by"}

MAX_SEQ: Final = 100_000
"""Highest sequence number that the schema of the header takes."""

_CONVERSATION_FULL: Final = Wording(
    en="a conversation takes at most 100,000 messages of one agency: open another one",
    fr="une conversation compte au plus 100 000 messages d'un même service : ouvrez-en une autre",
)

_Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The service that posts a draft, as its certificate says.

    Attributes:
        nation: Its nation: ``FR`` or ``US``.
        agency: Its agency code.
        unit: Its functional unit, or None.
    """

    nation: str
    agency: str
    unit: str | None


@quick_value
class Completed:
    """A completed draft, not yet examined.

    Attributes:
        document: The message. The very same object if there was nothing to fill in.
        seq_missing: The draft had no sequence number and got a provisional 1. The node
            replaces it with the next number of the agency in the conversation.
    """

    document: dict[str, Any]
    seq_missing: bool


def complete(
    draft: dict[str, Any],
    *,
    catalogue: Catalogue,
    sender: Sender,
    peer_nation: str,
    now_ms: int,
    new_id: Callable[[], bytes],
    parent: StoredMessage | None,
    parent_content: Mapping[str, Any] | None = None,
) -> Completed:
    """Return ``draft`` with everything filled in that follows from what is known.

    A draft of an unknown type, or whose header or payload is no object, is given back as
    it is: the schema says what is wrong with it.

    Args:
        draft: The draft as ``parse_json`` gives it. It is not changed.
        catalogue: The catalogue.
        sender: Who posts it.
        peer_nation: The nation it is for.
        now_ms: The node's clock, milliseconds since 1970 in UTC.
        new_id: Gives a fresh UUIDv7 of 16 bytes. Its time is set to ``created_at``.
        parent: The message that ``in_reply_to`` names, or None if there is none.
        parent_content: That message opened, if it can be: gives offence areas to a reply.

    Spec: docs/spec/messages.md, "Completing drafts".
    """
    message_type = catalogue.find(draft.get("type"))
    header, payload = draft.get("header", {}), draft.get("payload")
    if message_type is None or not isinstance(header, dict) or not isinstance(payload, dict):
        return Completed(document=draft, seq_missing=False)
    completion = _Completion(
        message_type=message_type,
        catalogue=catalogue,
        sender=sender,
        peer_nation=peer_nation,
        header=dict(header),
        payload=payload,
        parent=parent,
        parent_content=parent_content,
    )
    completion.fill_identity(now_ms, new_id)
    seq_missing = completion.fill_conversation()
    completion.fill_purpose()
    completion.fill_marking()
    completion.fill_terms_of_use()
    completion.fill_data_protection()
    completion.fill_times()
    if completion.header == header:
        return Completed(document=draft, seq_missing=False)
    document = {**draft, "header": completion.ordered_header()}
    if "header" not in draft:
        # A reader expects the header before what it is about.
        document["payload"] = document.pop("payload")
    return Completed(document=document, seq_missing=seq_missing)


def assign_number(document: _Json, last: int) -> list[Violation]:
    """Give a completed draft the number behind the last one of its sender in the conversation.

    Args:
        document: The draft, which is changed.
        last: That number, 0 for none.

    Returns:
        What is wrong: no number is left that the schema takes, and the peer would refuse it.
    """
    if last >= MAX_SEQ:
        return [Violation(rule=RULE_SCHEMA, pointer="/header/conversation/seq", wording=_CONVERSATION_FULL)]
    document["header"]["conversation"]["seq"] = last + 1
    return []


def verify_size(completed: Completed) -> None:
    """Verify that a completed draft is no longer than a message may be, and holds no more values.

    Its draft was not; but the peer reads what was filled in as well, and would refuse a message
    that its sender's node has accepted.

    Raises:
        MessageTooLargeError: It is too long.
        JsonRefusedError: It holds too many values.

    Spec: docs/spec/messages.md, "Completing drafts".
    """
    # Where the number is missing, 1 stands for one that may have more digits.
    spare = len(str(MAX_SEQ)) - len("1") if completed.seq_missing else 0
    begin_json(orjson.dumps(completed.document) + b" " * spare)


class _Completion:
    """Fills one header; lives for one call of ``complete``."""

    def __init__(
        self,
        *,
        message_type: MessageType,
        catalogue: Catalogue,
        sender: Sender,
        peer_nation: str,
        header: _Json,
        payload: _Json,
        parent: StoredMessage | None,
        parent_content: Mapping[str, Any] | None,
    ) -> None:
        self.header = header
        self._type = message_type
        self._catalogue = catalogue
        self._agreement: Agreement = catalogue.agreement
        self._sender = sender
        self._peer_nation = peer_nation
        self._payload = payload
        self._parent = parent
        self._parent_content = parent_content
        self._created_ms = 0

    def fill_identity(self, now_ms: int, new_id: Callable[[], bytes]) -> None:
        """Fill version, id, time of creation, sender and, where only one is possible, addressee."""
        header = self.header
        header.setdefault("schema_version", self._agreement.schema_version)
        self._created_ms = self._creation_ms(now_ms)
        if "created_at" not in header:
            header["created_at"] = time_text(self._created_ms)
        if "message_id" not in header:
            # H-01 compares the time in the id with created_at, which the agency may have set.
            random_part = new_id()[6:]
            header["message_id"] = uuid_text(self._created_ms.to_bytes(6) + random_part)
        self._fill_sender()
        self._fill_addressees()

    def fill_conversation(self) -> bool:
        """Fill the place in the conversation; return whether the sequence number was missing."""
        given = self._incomplete("conversation", _CONVERSATION)
        if given is None:
            return False
        parent = self._parent
        if parent is not None:
            identifier: Any = uuid_text(parent.conversation_id)
            parent_type = self._catalogue.find(parent.type)
            pattern = (parent_type or self._type).terms.pattern
        else:
            # An opener's id names its conversation. A reply whose parent is not known is
            # filed under what it names, so that the rules can say that it is not known.
            named = given.get("in_reply_to")
            identifier = named if isinstance(named, str) else self.header["message_id"]
            pattern = self._type.terms.pattern
        self.header["conversation"] = {"id": identifier, "pattern": pattern, "seq": 1, **given}
        return "seq" not in given

    def fill_purpose(self) -> None:
        """Give the purpose of what it names where its type allows that, or the only one of the type."""
        given = self._incomplete("purpose", _PURPOSE)
        if given is None:
            return
        terms, parent = self._type.terms, self._parent
        is_any = bool({"=", "*"} & terms.purposes)
        if parent is not None and (is_any or parent.purpose in terms.purposes):
            areas = _at(self._parent_content, "/header/purpose/areas")
            self.header["purpose"] = {"code": parent.purpose, "areas": areas or [], **given}
        elif len(terms.purposes) == 1 and not is_any:
            self.header["purpose"] = {"code": next(iter(terms.purposes)), "areas": [], **given}

    def fill_marking(self) -> None:
        """Fill the default marking, the agreed equivalent, and the nations it may go to."""
        given = self._incomplete("marking", _MARKING)
        if given is None:
            return
        agreement, defaults = self._agreement, self._agreement.defaults
        own, peer = agreement.nations[self._sender.nation], agreement.nations[self._peer_nation]
        policy = given.get("policy", own.policy)
        level = given.get("level", defaults.marking_level.get(own.policy))
        filled: _Json = {"policy": policy, "level": level}
        # Anything may stand in a draft, also what cannot be looked up.
        if isinstance(policy, str) and isinstance(level, str):
            equivalent = agreement.equivalence.get(policy, {}).get(level)
            if equivalent is not None:
                filled["alternative"] = {"policy": peer.policy, "level": equivalent}
        filled["releasable_to"] = [own.alpha3, peer.alpha3]
        categories = defaults.cui_categories.get(own.policy, ())
        if "level" not in given and categories:
            filled["cui_categories"] = list(categories)
        self.header["marking"] = {**filled, **given}

    def fill_terms_of_use(self) -> None:
        """Fill handling and use so that they agree with each other."""
        defaults = self._agreement.defaults
        use, handling = self.header.get("use", {}), self._incomplete("handling", _HANDLING)
        if isinstance(use, dict) and handling is not None:
            codes = [
                code
                for code in defaults.handling
                if not (code == "H1" and use.get("evidence") == "YES")
                and not (code == "H2" and use.get("dissemination", "ADDRESSEE_ONLY") != "ADDRESSEE_ONLY")
            ]
            # H3 is the code that says: see the conditions.
            codes = (codes or ["H0"]) + (["H3"] if "conditions" in handling else [])
            self.header["handling"] = {"codes": codes, **handling}
        given = self._incomplete("use", defaults.use.keys())
        if given is not None:
            self.header["use"] = {**defaults.use, **given}

    def fill_data_protection(self) -> None:
        """Declare the personal data that the structure shows, with safeguards, retention and basis."""
        given = self.header.get("data_protection", {})
        is_personal = isinstance(given, dict) and given.get("contains_personal_data") is True
        given = self._incomplete("data_protection", _PERSONAL_DATA if is_personal else _DATA_PROTECTION)
        if given is None and "legal_basis" in self.header:
            return
        found = find_personal_data(self._payload, self._type, self._created_ms)
        if given is not None:
            self.header["data_protection"] = {**self._declaration(given, found), **given}
        if "legal_basis" not in self.header:
            self.header["legal_basis"] = self._legal_basis(found)

    def _declaration(self, given: _Json, found: PersonalData) -> _Json:
        """Return what is to be declared, as far as the agency has not said otherwise."""
        defaults, terms = self._agreement.defaults, self._type.terms
        declared = given.get("categories")
        categories = declared if isinstance(declared, list) else list(found.categories)
        contains = given.get("contains_personal_data", bool(categories))
        filled: _Json = {
            "contains_personal_data": contains,
            "categories": categories,
            "subjects": self._subjects(found) if contains is True else [],
            "special_categories": [],
            "minors": found.minors,
            "safeguards": [],
        }
        if contains is True:
            filled["safeguards"] = _with_extras(defaults.safeguards, defaults.category_safeguards, categories)
            filled["delete_by"] = day_text(self._created_ms + terms.keep_days * DAY_MS)
        return filled

    def fill_times(self) -> None:
        """Fill time to live and, for a type that awaits an answer, the deadline for it."""
        if "expires_at" not in self.header:
            precedences = self._agreement.precedences
            code = self.header.get("precedence")
            precedence = precedences.get(code) if isinstance(code, str) else None
            hours = (precedence or precedences["ROUTINE"]).expires_hours
            self.header["expires_at"] = time_text(self._created_ms + hours * HOUR_MS)
        deadline = self._type.terms.reply_by
        if deadline is None or "reply_by" in self.header or self._answers():
            return
        document = {"header": self.header, "payload": self._payload}
        field = _at(document, deadline.field)
        minutes = deadline.minutes.get(field) if isinstance(field, str) else None
        if minutes is None:
            return
        due_ms = self._created_ms + minutes * MINUTE_MS
        cap_ms = None if deadline.not_after is None else _instant(_at(document, deadline.not_after))
        if cap_ms is not None:
            early_ms = cap_ms - deadline.margin_minutes * MINUTE_MS
            # Where the margin has begun already, the time itself is the deadline.
            cap_ms = early_ms if early_ms > self._created_ms else cap_ms
            if self._created_ms < cap_ms < due_ms:
                due_ms = cap_ms
        self.header["reply_by"] = time_text(due_ms)

    def ordered_header(self) -> _Json:
        """Return the header with its fields in the order of the schema."""
        order = self._type.documents[HEADER_ID]["properties"]
        header = self.header
        return {name: header[name] for name in order if name in header} | header

    def _answers(self) -> bool:
        """Tell whether this is a reply, also of a type that may open a conversation as well."""
        conversation = self.header.get("conversation")
        return bool(self._type.terms.reply_to) and (
            isinstance(conversation, dict) and "in_reply_to" in conversation
        )

    def _creation_ms(self, now_ms: int) -> int:
        """Return the time of creation: as given, else as the given id says, else now."""
        if "created_at" in self.header:
            given = _instant(self.header["created_at"])
            return given if given is not None and _EARLIEST_MS <= given < _LATEST_MS else now_ms
        identifier = self.header.get("message_id")
        try:
            from_id = int.from_bytes(UUID(identifier).bytes[:6])
        except (ValueError, AttributeError, TypeError):
            return now_ms
        return from_id if now_ms - _OLDEST_ID_MS <= from_id <= now_ms + _NEWEST_ID_MS else now_ms

    def _fill_sender(self) -> None:
        """Name the sender that the certificate names; the node stands for the officer."""
        sender = self._sender
        given = self._incomplete("from", _FROM if sender.unit is None else _FROM | {"unit"})
        if given is None:
            return
        filled: _Json = {"nation": sender.nation, "agency": sender.agency}
        if sender.unit is not None:
            filled["unit"] = sender.unit
        filled["officer_ref"] = f"{sender.nation.lower()}-{_NODE_OFFICER}"
        self.header["from"] = {**filled, **given}

    def _fill_addressees(self) -> None:
        """Address the sender of what is answered, or the only service that a type goes to.

        What takes an own message back goes to all that got it.
        """
        header, terms, parent = self.header, self._type.terms, self._parent
        if "to" not in header:
            agencies = terms.agencies.get(self._peer_nation, frozenset())
            if parent is not None and terms.reply_to:
                header["to"] = [{"nation": parent.nation, "agency": parent.from_agency}]
            elif parent is not None and "=" in terms.purposes and parent.nation == self._sender.nation:
                header["to"] = [
                    {"nation": self._peer_nation, "agency": agency} for agency in parent.to_agencies
                ]
            elif len(agencies) == 1:
                header["to"] = [{"nation": self._peer_nation, "agency": next(iter(agencies))}]
        elif isinstance(header["to"], list):
            header["to"] = [
                {"nation": self._peer_nation, **entry} if isinstance(entry, dict) else entry
                for entry in header["to"]
            ]

    def _incomplete(self, field: str, names: AbstractSet[str]) -> _Json | None:
        """Return what is given of a header object that lacks some of these fields.

        None for one that lacks nothing, and for what is no object: it is left alone, and the
        schema refuses it.
        """
        given = self.header.get(field, {})
        return None if not isinstance(given, dict) or given.keys() >= names else given

    def _subjects(self, found: PersonalData) -> list[str]:
        """Return the data subjects if the roles of all persons tell them, else none.

        An agency has to say who is a suspect; the others alone would pass for a whole declaration.
        """
        by_role = self._agreement.defaults.subjects_by_role
        if not by_role.keys() >= set(found.roles):
            return []
        return list(dict.fromkeys(by_role[role] for role in found.roles))

    def _legal_basis(self, found: PersonalData) -> list[str]:
        """Return the agreement's bases, or those of the type if it demands its own."""
        defaults, demanded = self._agreement.defaults, self._type.terms.legal_bases
        bases = [basis for basis in demanded if basis in defaults.legal_basis] or list(demanded[:1])
        return _with_extras(
            bases or defaults.legal_basis, defaults.category_legal_basis, list(found.categories)
        )


def _with_extras(basic: list[str] | tuple[str, ...], extras: Mapping[str, str], keys: list[Any]) -> list[str]:
    """Return ``basic`` and what the keys add to it, each once."""
    added = [extras[key] for key in keys if isinstance(key, str) and key in extras]
    return list(dict.fromkeys([*basic, *added]))


def _instant(text: object) -> int | None:
    """Return milliseconds since 1970, or None for what is no time stamp."""
    if not isinstance(text, str):
        return None
    try:
        return instant_ms(text)
    except ValueError:
        return None


def _at(document: object, pointer: str) -> Any:
    """Return the value at a pointer made of field names, or None."""
    for step in pointer.split("/")[1:]:
        if not isinstance(document, Mapping):
            return None
        document = document.get(step)
    return document
