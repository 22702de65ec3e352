"""Run every stateless rule on a message, in one walk through its payload.

What a rule is stands in `gateway.core.message.rules.definition`, the rules themselves in
the modules beside it. This module prepares, once per message type, what of all that
concerns the type: its schema says which fields of the payload hold which building block
and which format (by ``$ref`` to ``schemas/common/`` and ``schemas/formats/``), and the
rules for these are hung onto the fields. So a new type brings its rules with it by the
files it is made of.

Nearly every message is good, so a message is first only asked whether it is. That costs one
walk through the parts it really holds, one call of each rule that speaks about whole
messages, and one look-up for all that speak about its frame, whose verdicts are kept. Only
if something is wrong the same functions are run once more, and then it is noted what and where.

Spec: docs/spec/rules.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from gateway.core.message.agreement import Agreement
from gateway.core.message.registry import MessageType
from gateway.core.message.rules import RESERVED, RULES
from gateway.core.message.rules.definition import Facts, Json, MessageCheck, PartFunction, Rule, ValueTest
from gateway.core.message.rules.frame import Frame, write_frame
from gateway.core.message.schema_documents import Held, Schema, held_by
from gateway.core.message.terms import TypeTerms
from gateway.core.message.violation import MAX_VIOLATIONS, Violation
from gateway.core.message.wording import Wording

_RULE_BY_ID: Final[Mapping[str, Rule]] = {rule.id: rule for rule in RULES}
_NUMBER_BY_ID: Final[Mapping[str, int]] = {rule.id: rule.number for rule in RULES} | {
    rule_id: number for number, rule_id in RESERVED.items()
}
_ID_BY_NUMBER: Final[Mapping[int, str]] = {number: rule_id for rule_id, number in _NUMBER_BY_ID.items()}


def stateless_violations(
    document: dict[str, Any], message_type: MessageType, agreement: Agreement, now_ms: int
) -> list[Violation]:
    """Return what about a message breaks a rule which needs no other message.

    Args:
        document: A message that the schema of its type accepts.
        message_type: Its type.
        agreement: What both nations agreed.
        now_ms: Clock of the examining node, milliseconds since 1970.

    Returns:
        The violations, by rule number and then by place, `MAX_VIOLATIONS` at most; empty for a good message.

    Spec: docs/spec/rules.md.
    """
    facts = Facts(document, terms=message_type.terms, agreement=agreement, now_ms=now_ms)
    if _is_good(_plan_of(message_type, agreement), facts):
        return []
    return all_violations(document, message_type, agreement, now_ms)


def all_violations(
    document: dict[str, Any], message_type: MessageType, agreement: Agreement, now_ms: int
) -> list[Violation]:
    """Return what `stateless_violations` returns, in twice the time for a good message."""
    plan = _plan_of(message_type, agreement)
    facts = Facts(document, terms=message_type.terms, agreement=agreement, now_ms=now_ms)
    found: _Found = list(_frame_verdict(plan, facts))
    _walk(plan.payload, facts.payload, "/payload", facts, found)
    # After the walk, because some of these compare what the parts noted.
    for rule, check in plan.message_checks:
        found.extend((rule, pointer) for pointer in check(facts))
    # Two conditions of one rule may break at one place; the reader is told once.
    once = sorted({(rule.number, pointer) for rule, pointer in found})[:MAX_VIOLATIONS]
    return [violation(_ID_BY_NUMBER[number], pointer, message_type.terms) for number, pointer in once]


def violation(rule_id: str, pointer: str, terms: TypeTerms | None = None) -> Violation:
    """Return the violation of a rule at a place, with the rule's own wording.

    Args:
        rule_id: The rule.
        pointer: The place.
        terms: Terms of the message's type; what they say about the matter is added.
    """
    rule = _RULE_BY_ID[rule_id]
    wording = rule.wording
    if rule.told is not None and terms is not None:
        more = rule.told(terms)
        wording = Wording(en=f"{wording.en} {more.en}", fr=f"{wording.fr} {more.fr}")
    return Violation(rule=rule_id, pointer=pointer, wording=wording)


def find_rule(rule_id: str) -> Rule | None:
    """Return the rule of this id, or None if this node has no such rule."""
    return _RULE_BY_ID.get(rule_id)


def rule_number(rule_id: str) -> int:
    """Return the number of a rule, which receipts carry and which never changes.

    Raises:
        KeyError: No rule has this id.
    """
    return _NUMBER_BY_ID[rule_id]


def rule_by_number(number: int) -> str | None:
    """Return the id of the rule with this number, or None: a newer node may know more rules."""
    return _ID_BY_NUMBER.get(number)


# --- Once per type --------------------------------------------------------------------


_FRAMES: Final = 256
"""Frames of one type whose verdicts are kept: of each 1 KB, so 16 MB at most with 61 types."""

_LONGEST_FRAME: Final = 2_048
"""Frames that are longer are judged each time: fields that no schema bounds are in them."""

_Found: TypeAlias = list[tuple[Rule, str]]
"""Rules that a message breaks, with pointers from its root."""

_FrameVerdict: TypeAlias = Callable[[bytes], tuple[tuple[Rule, str], ...]]
"""Takes a frame as it is written; returns the rules that it breaks, with pointers."""


@dataclass(slots=True)
class _Part:
    """What concerns an object of a payload.

    Attributes:
        checks: Functions for the object as a whole.
        values: Field, whether it holds a list, rule and test of its value or entries.
        coded: Field of a code, field of the value it explains, and by code the rule and
            test of that value.
        children: Field, whether it holds a list, and what concerns the objects in it.
    """

    checks: tuple[tuple[Rule, PartFunction], ...] = ()
    values: tuple[tuple[str, bool, Rule, ValueTest], ...] = ()
    coded: tuple[tuple[str, str, Mapping[str, tuple[Rule, ValueTest]]], ...] = ()
    children: tuple[tuple[str, bool, _Part], ...] = ()

    def is_idle(self) -> bool:
        return not (self.checks or self.values or self.coded or self.children)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What concerns the messages of one type.

    Attributes:
        payload: What concerns its payload.
        message_checks: Rules for whole messages that concern the type, each with its function.
        judge_frame: Judges a frame of the type.
        kept_frame: The same, remembering what it said.
    """

    payload: _Part
    message_checks: tuple[tuple[Rule, MessageCheck], ...]
    judge_frame: _FrameVerdict
    kept_frame: _FrameVerdict


# More than a catalogue has types; a node has one catalogue, tests have many.
@lru_cache(maxsize=1_024)
def _plan_of(message_type: MessageType, agreement: Agreement) -> _Plan:
    type_id, terms = message_type.id, message_type.terms
    concerned = [rule for rule in RULES if rule.concerns(type_id, terms)]
    frame_checks = [(rule, rule.frame_check) for rule in concerned if rule.frame_check is not None]

    def judge(written: bytes) -> tuple[tuple[Rule, str], ...]:
        frame = Frame(written, type_id=type_id, terms=terms, agreement=agreement)
        return tuple([(rule, pointer) for rule, check in frame_checks for pointer in check(frame)])

    return _Plan(
        payload=_Compiler(message_type.documents).compile_payload(message_type.schema),
        message_checks=tuple(
            [
                (rule, rule.message_check)
                for rule in concerned
                if rule.message_check is not None and _may_read(rule, message_type, agreement)
            ]
        ),
        judge_frame=judge,
        kept_frame=lru_cache(maxsize=_FRAMES)(judge),
    )


def _may_read(rule: Rule, message_type: MessageType, agreement: Agreement) -> bool:
    """Return whether a payload of this type may hold what the rule's message check looks at."""
    payload = message_type.schema["properties"]["payload"]
    is_closed = payload.get("additionalProperties") is False and not agreement.announced_versions
    return not rule.reads or not is_closed or not rule.reads.isdisjoint(payload["properties"])


class _Compiler:
    """Hangs rules onto the fields that the schema of one type describes."""

    def __init__(self, documents: Mapping[str, Schema]) -> None:
        self._documents = documents
        self._blocks: dict[tuple[str, bool], _Part] = {}

    def compile_payload(self, schema: Schema) -> _Part:
        """Return what concerns the payload that a type's schema describes."""
        part = _Part()
        self._fill(part, schema["$id"], schema["properties"]["payload"])
        return part

    def _fill(self, part: _Part, identifier: str, schema: Schema) -> None:
        """Give a part what concerns its fields.

        Args:
            part: What to fill.
            identifier: ``$id`` of the document that describes it.
            schema: The description.
        """
        values: list[tuple[str, bool, Rule, ValueTest]] = []
        children: list[tuple[str, bool, _Part]] = []
        for name, field in schema.get("properties", {}).items():
            held = held_by(self._documents, identifier, field)
            if held.format is not None:
                tests = _format_tests(held.format)
                values.extend((name, held.in_list, rule, test) for rule, test in tests)
            else:
                child = self._child(held)
                if not child.is_idle():
                    children.append((name, held.in_list, child))
        part.values = tuple(values)
        part.children = tuple(children)

    def _child(self, held: Held) -> _Part:
        """Return what concerns an object that a field holds; a block's is made once."""
        if held.block is None:
            part = _Part()
            self._fill(part, held.identifier, held.schema)
            return part
        known = self._blocks.get((held.block, held.in_list))
        if known is None:
            checks = tuple(_block_checks(held.block, in_list=held.in_list))
            known = _Part(checks=checks, coded=_coded_tests(held.block))
            self._fill(known, held.identifier, held.schema)
            self._blocks[held.block, held.in_list] = known
        return known


def _block_checks(block: str, *, in_list: bool) -> Iterator[tuple[Rule, PartFunction]]:
    for rule in RULES:
        for check in rule.part_checks:
            if check.part == block and check.held in ("anyhow", "in a list" if in_list else "alone"):
                yield rule, check.function


def _format_tests(format_name: str) -> Iterator[tuple[Rule, ValueTest]]:
    for rule in RULES:
        for check in rule.format_checks:
            if check.format == format_name:
                yield rule, check.is_good


def _coded_tests(block: str) -> tuple[tuple[str, str, Mapping[str, tuple[Rule, ValueTest]]], ...]:
    tests: dict[tuple[str, str], dict[str, tuple[Rule, ValueTest]]] = {}
    for rule in RULES:
        for check in rule.coded_checks:
            if check.part == block:
                by_code = tests.setdefault((check.code_field, check.value_field), {})
                by_code[check.code] = (rule, check.is_good)
    return tuple((*fields, by_code) for fields, by_code in tests.items())


# --- Whether a message is good --------------------------------------------------------


def _is_good(plan: _Plan, facts: Facts) -> bool:
    """Return whether a message breaks no rule; the first that it breaks ends the matter."""
    if _frame_verdict(plan, facts) or not _is_part_good(plan.payload, facts.payload, facts):
        return False
    # After the walk, because some of these compare what the parts noted.
    broken = [check(facts) for _, check in plan.message_checks]
    return not any(broken)


def _frame_verdict(plan: _Plan, facts: Facts) -> tuple[tuple[Rule, str], ...]:
    written = write_frame(facts.header)
    return plan.kept_frame(written) if len(written) <= _LONGEST_FRAME else plan.judge_frame(written)


def _is_part_good(part: _Part, holder: Json, facts: Facts) -> bool:
    """Return whether an object of a payload and the objects in it break no rule.

    It is `_walk` without pointers: what the functions make of the empty one is not looked at.
    """
    for _, check in part.checks:
        if check(holder, "", facts):
            return False
    if (part.values or part.coded) and not _are_values_good(part, holder, facts):
        return False
    for name, in_list, child in part.children:
        inner = holder.get(name)
        if inner is None:
            continue
        for entry in inner if in_list else (inner,):
            if not _is_part_good(child, entry, facts):
                return False
    return True


def _are_values_good(part: _Part, holder: Json, facts: Facts) -> bool:
    """Return whether the values of an object pass their tests: `_test_values` without pointers."""
    for code_field, value_field, tests in part.coded:
        explained = tests.get(holder[code_field])
        if explained is not None and not explained[1](holder[value_field], holder, facts):
            return False
    for name, in_list, _, is_good in part.values:
        value = holder.get(name)
        if value is None:
            continue
        for entry in value if in_list else (value,):
            if not is_good(entry, holder, facts):
                return False
    return True


# --- What is wrong with it ------------------------------------------------------------


def _walk(part: _Part, holder: Json, at: str, facts: Facts, found: _Found) -> None:
    """Run all that concerns an object of a payload and the objects in it."""
    for rule, check in part.checks:
        if pointers := check(holder, at, facts):
            found.extend((rule, at + pointer) for pointer in pointers)
    if part.coded or part.values:
        _test_values(part, holder, at, facts, found)
    for name, in_list, child in part.children:
        inner = holder.get(name)
        if inner is None:
            continue
        if in_list:
            for i, entry in enumerate(inner):
                _walk(child, entry, f"{at}/{name}/{i}", facts, found)
        else:
            _walk(child, inner, f"{at}/{name}", facts, found)


def _test_values(part: _Part, holder: Json, at: str, facts: Facts, found: _Found) -> None:
    """Test the values of an object that have a format with a rule, or a code beside them."""
    for code_field, value_field, tests in part.coded:
        explained = tests.get(holder[code_field])
        if explained is not None:
            rule, is_good = explained
            if not is_good(holder[value_field], holder, facts):
                found.append((rule, f"{at}/{value_field}"))
    for name, in_list, rule, is_good in part.values:
        value = holder.get(name)
        if value is None:
            continue
        if in_list:
            for i, entry in enumerate(value):
                if not is_good(entry, holder, facts):
                    found.append((rule, f"{at}/{name}/{i}"))
        elif not is_good(value, holder, facts):
            found.append((rule, f"{at}/{name}"))
