"""What a rule is: a number, a sentence in two languages, and a small function.

A rule speaks about a whole message, about its *frame*, which is what of its header comes
again and again, or about one *part* of it, a building block such as a container or a
person, wherever the payload holds one. Its function returns JSON Pointers
of what breaks it, and nothing else: never a value, so a refusal cannot leak one.

The functions trust the schema. They run only on messages that their schema accepts, so a
field that the schema requires is there and has its type.

Spec: docs/spec/rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from gateway.core.message.agreement import Agreement
from gateway.core.message.instants import day_of_instant, instant_ms
from gateway.core.message.rules.frame import Frame
from gateway.core.message.terms import TypeTerms
from gateway.core.message.wording import Wording

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
        conversation: ``header.conversation``.
        data_protection: ``header.data_protection``.
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
        "conversation",
        "created_day",
        "created_ms",
        "data_protection",
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
        header: Json = document["header"]
        self.document: Json = document
        self.header = header
        self.payload: Json = document["payload"]
        self.type_id: str = document["type"]
        self.terms = terms
        self.agreement = agreement
        self.nation: str = header["from"]["nation"]
        self.conversation: Json = header["conversation"]
        self.data_protection: Json = header["data_protection"]
        self.created_ms = instant_ms(header["created_at"])
        self.created_day = day_of_instant(self.created_ms)
        self.expires_ms = instant_ms(header["expires_at"])
        self.now_ms = now_ms
        self.categories: set[str] = set()
        self.names: set[str] = set()
        self.used_names: list[tuple[str, str]] = []


MessageCheck: TypeAlias = Callable[[Facts], Pointers]
"""Returns pointers from the root of the message."""

FrameCheck: TypeAlias = Callable[[Frame], Pointers]
"""Returns pointers from the root of the message, for what its frame alone shows."""

PartFunction: TypeAlias = Callable[[Json, str, Facts], Pointers]
"""Takes a part, the pointer to it, and the facts; returns pointers from the part."""

Held: TypeAlias = Literal["anyhow", "alone", "in a list"]
"""How a field holds a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartCheck:
    """A function, and the parts it is for.

    Attributes:
        part: Name of the building block: of its file in ``schemas/common/``.
        function: Returns what breaks the rule, as pointers from the part.
        held: Whether only parts in a list, or only those held alone, are examined.
    """

    part: str
    function: PartFunction
    held: Held = "anyhow"


TermsWording: TypeAlias = Callable[[TypeTerms], Wording]
"""Takes the terms of a type; returns what they say about the matter of a rule."""

TermsTest: TypeAlias = Callable[[TypeTerms], bool]
"""Takes the terms of a type; tells whether its messages can break a rule at all."""

ValueTest: TypeAlias = Callable[[Any, Json, Facts], bool]
"""Takes a value, the part whose field holds it, and the facts; tells whether it is good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatCheck:
    """A test of every value of one format, whichever part or payload holds it.

    Attributes:
        format: Name of the format: of its file in ``schemas/formats/``.
        is_good: Tests one value; of a list, each entry.
    """

    format: str
    is_good: ValueTest


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedCheck:
    """A test of the value of a part that says, by a code of its own, what the value is.

    Attributes:
        part: Name of the building block.
        code_field: Field that holds the code.
        code: The code that this test is for.
        value_field: Field that holds the value.
        is_good: Tests the value.
    """

    part: str
    code_field: str
    code: str
    value_field: str
    is_good: ValueTest


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the catalogue.

    Attributes:
        id: Name that refusals show, such as ``H-01``.
        number: Number that receipts carry; it never changes and is never used again.
        wording: What must hold and how to mend it, in both languages.
        pointer: What a refusal points at, in words of the specification.
        applies_to: ``*``, type ids, or building blocks and formats wherever a payload holds
            them.
        stage: What the rule needs to know.
        message_check: Function for the message as a whole, after all parts were seen.
        reads: Fields of the payload; without any of them ``message_check`` finds nothing. Empty if it
            looks at more than these.
        frame_check: Function for the frame of the message.
        only_if: Of the types in ``applies_to``, those whose terms pass this test have their
            messages given to ``message_check`` or ``frame_check``; the others cannot break the
            rule.
        part_checks: Functions for parts.
        format_checks: Tests of single values by their format.
        coded_checks: Tests of single values by a code beside them.
        told: What the terms of the message's type say, which a refusal adds to the wording, so
            that nobody has to look it up.
    """

    id: str
    number: int
    wording: Wording
    pointer: str
    applies_to: tuple[str, ...] = ("*",)
    stage: Stage = Stage.STATELESS
    message_check: MessageCheck | None = None
    reads: frozenset[str] = frozenset()
    frame_check: FrameCheck | None = None
    only_if: TermsTest | None = None
    part_checks: tuple[PartCheck, ...] = ()
    format_checks: tuple[FormatCheck, ...] = ()
    coded_checks: tuple[CodedCheck, ...] = ()
    told: TermsWording | None = None

    def concerns(self, type_id: str, terms: TypeTerms) -> bool:
        """Tell whether the rule's check of messages or frames is for this type, which has these terms."""
        if "*" not in self.applies_to and type_id not in self.applies_to:
            return False
        return self.only_if is None or self.only_if(terms)


def message_rule(
    rule_id: str,
    number: int,
    *,
    pointer: str,
    en: str,
    fr: str,
    applies_to: tuple[str, ...] = ("*",),
    stage: Stage = Stage.STATELESS,
    only_if: TermsTest | None = None,
    told: TermsWording | None = None,
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
            only_if=only_if,
            told=told,
        )

    return make


def frame_rule(
    rule_id: str,
    number: int,
    *,
    pointer: str,
    en: str,
    fr: str,
    stage: Stage = Stage.STATELESS,
    only_if: TermsTest | None = None,
    told: TermsWording | None = None,
) -> Callable[[FrameCheck], Rule]:
    """Return a decorator that makes a rule of a function for frames, whatever the type."""

    def make(function: FrameCheck) -> Rule:
        return Rule(
            id=rule_id,
            number=number,
            wording=Wording(en=en, fr=fr),
            pointer=pointer,
            stage=stage,
            frame_check=function,
            only_if=only_if,
            told=told,
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


def format_rule(
    rule_id: str, number: int, *, format_name: str, is_good: ValueTest, pointer: str, en: str, fr: str
) -> Rule:
    """Return the rule that every value of a format is good, whichever field holds it."""
    return Rule(
        id=rule_id,
        number=number,
        wording=Wording(en=en, fr=fr),
        pointer=pointer,
        applies_to=(format_name,),
        format_checks=(FormatCheck(format=format_name, is_good=is_good),),
    )


def coded_rule(
    rule_id: str,
    number: int,
    *,
    part: str,
    code_field: str,
    code: str,
    value_field: str,
    is_good: ValueTest,
    en: str,
    fr: str,
) -> Rule:
    """Return the rule for the value of a part whose own code says what the value is."""
    return Rule(
        id=rule_id,
        number=number,
        wording=Wording(en=en, fr=fr),
        pointer=f"…/{value_field} of a {part} of {code_field} {code}",
        applies_to=(part,),
        coded_checks=(
            CodedCheck(part=part, code_field=code_field, code=code, value_field=value_field, is_good=is_good),
        ),
    )
