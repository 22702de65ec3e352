"""What a rule is: a number, a sentence in two languages, and a small function.

A rule speaks about a whole message or about one *part* of it, a building block such as a
container or a person, wherever the payload holds one. Its function returns JSON Pointers
of what breaks it, and nothing else: never a value, so a refusal cannot leak one.

The functions trust the schema. They run only on messages that their schema accepts, so a
field that the schema requires is there and has its type.

Spec: docs/spec/rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from gateway.core.message.instants import day_of_instant, instant_ms
from gateway.core.message.wording import Wording

if TYPE_CHECKING:
    from gateway.core.message.agreement import Agreement
    from gateway.core.message.terms import TypeTerms

Json: TypeAlias = dict[str, Any]
"""An object of a message that its schema accepts."""

Pointers: TypeAlias = Sequence[str]
"""JSON Pointers of what breaks a rule: from the root of the message, or from the part."""

GOOD: Final[Pointers] = ()
"""Nothing breaks the rule."""


class Stage(Enum):
    """What a rule needs to know."""

    STATELESS = "stateless"
    """The message and at most the clock."""
    STATEFUL = "stateful"
    """Also the messages that this node has sent and accepted."""
    BOTH = "stateless and stateful"
    """Some of its conditions the one, some the other."""


class Facts:
    """What the rules of one message share, worked out once.

    Attributes:
        document: The whole message.
        header: Its header.
        payload: Its payload.
        type_id: Its type, with the version.
        terms: What the catalogue says about the type.
        agreement: What both nations agreed for all types.
        nation: Sending nation, ``FR`` or ``US``.
        created_ms: ``header.created_at`` as milliseconds since 1970.
        created_day: Its UTC day, in days since 1970.
        expires_ms: ``header.expires_at`` as milliseconds since 1970.
        now_ms: The examining node's clock.
        categories: Categories of personal data found in the payload so far.
        names: Local names (``p1``, ``o2`` …) given in the payload so far.
        used_names: Local names used in the payload so far, each with its pointer.
    """

    __slots__ = (
        "agreement",
        "categories",
        "created_day",
        "created_ms",
        "document",
        "expires_ms",
        "header",
        "names",
        "nation",
        "now_ms",
        "payload",
        "terms",
        "type_id",
        "used_names",
    )

    def __init__(self, document: Json, *, terms: TypeTerms, agreement: Agreement, now_ms: int) -> None:
        """Take a message that its schema accepts."""
        self.document: Json = document
        self.header: Json = document["header"]
        self.payload: Json = document["payload"]
        self.type_id: str = document["type"]
        self.terms = terms
        self.agreement = agreement
        self.nation: str = self.header["from"]["nation"]
        self.created_ms = instant_ms(self.header["created_at"])
        self.created_day = day_of_instant(self.created_ms)
        self.expires_ms = instant_ms(self.header["expires_at"])
        self.now_ms = now_ms
        self.categories: set[str] = set()
        self.names: set[str] = set()
        self.used_names: list[tuple[str, str]] = []


MessageCheck: TypeAlias = Callable[[Facts], Pointers]
"""Returns pointers from the root of the message."""

PartFunction: TypeAlias = Callable[[Json, str, Facts], Pointers]
"""Takes a part, the pointer to it, and the facts; returns pointers from the part."""

Held: TypeAlias = Literal["anyhow", "alone", "in a list"]
"""How a field holds a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCheck:
    """A function, and the parts it is for.

    Attributes:
        part: Building block (``Container``), or type id (``inspect.result/1``) for the
            payload of that type itself.
        function: Returns what breaks the rule, as pointers from the part.
        held: Whether only parts in a list, or only those held alone, are examined.
    """

    part: str
    function: PartFunction
    held: Held = "anyhow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the catalogue.

    Attributes:
        id: Name that refusals show, such as ``H-01``.
        number: Number that receipts carry; it never changes and is never used again.
        wording: What must hold and how to mend it, in both languages.
        pointer: What a refusal points at, in words of the specification.
        applies_to: ``*``, type ids, or building blocks wherever a payload holds them.
        stage: What the rule needs to know.
        message_check: Function for the message as a whole, after all parts were seen.
        part_checks: Functions for parts.
    """

    id: str
    number: int
    wording: Wording
    pointer: str
    applies_to: tuple[str, ...] = ("*",)
    stage: Stage = Stage.STATELESS
    message_check: MessageCheck | None = None
    part_checks: tuple[PartCheck, ...] = ()

    def concerns(self, type_id: str) -> bool:
        """Tell whether the rule's message check is for messages of this type."""
        return "*" in self.applies_to or type_id in self.applies_to


def message_rule(
    rule_id: str,
    number: int,
    *,
    pointer: str,
    en: str,
    fr: str,
    applies_to: tuple[str, ...] = ("*",),
    stage: Stage = Stage.STATELESS,
) -> Callable[[MessageCheck], Rule]:
    """Return a decorator that makes a rule of a function for whole messages."""

    def make(function: MessageCheck) -> Rule:
        return Rule(
            id=rule_id,
            number=number,
            wording=Wording(en=en, fr=fr),
            pointer=pointer,
            applies_to=applies_to,
            stage=stage,
            message_check=function,
        )

    return make


def part_rule(
    rule_id: str, number: int, *, pointer: str, en: str, fr: str, applies_to: tuple[str, ...]
) -> Callable[[PartFunction], Rule]:
    """Return a decorator that makes a rule of one function for all parts in ``applies_to``."""

    def make(function: PartFunction) -> Rule:
        return Rule(
            id=rule_id,
            number=number,
            wording=Wording(en=en, fr=fr),
            pointer=pointer,
            applies_to=applies_to,
            part_checks=tuple(PartCheck(part=part, function=function) for part in applies_to),
        )

    return make


ValueTest: TypeAlias = Callable[[Any, Json, Facts], bool]
"""Takes the value of a field, the part that holds it, and the facts; tells whether it is good."""


def field_checks(fields: Mapping[str, tuple[str, ...]], is_good: ValueTest) -> tuple[PartCheck, ...]:
    """Return checks of single fields, by the part that holds them.

    A field that is absent is good. Of a field that holds a list each entry is tested and
    pointed at.

    Args:
        fields: Names of the fields, by building block or type id.
        is_good: The test of one value.
    """
    return tuple(
        PartCheck(part=part, function=_field_function(names, is_good)) for part, names in fields.items()
    )


def _field_function(names: tuple[str, ...], is_good: ValueTest) -> PartFunction:
    def check(part: Json, _: str, facts: Facts) -> Pointers:
        broken: list[str] | None = None
        for name in names:
            value = part.get(name)
            if value is None:
                continue
            if type(value) is list:
                pointers = [f"/{name}/{i}" for i, entry in enumerate(value) if not is_good(entry, part, facts)]
            elif is_good(value, part, facts):
                continue
            else:
                pointers = [f"/{name}"]
            broken = pointers if broken is None else broken + pointers
        return broken or GOOD

    return check
