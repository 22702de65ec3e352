"""Read a body as JSON in the one way that every reader agrees on.

Parsers differ on duplicate keys, numbers beyond 2^53, NaN, byte order marks and deep
nesting; what two parsers read differently, two nations would sign differently. Whatever is
ambiguous is refused here, before anything else looks at the message.

Most bodies are compact JSON. If writing the parsed document gives back the same bytes, no
key came twice and no escape hid one, and the second, slower pass is skipped.

Spec: docs/spec/messages.md, "Strict JSON"; RFC 8259; RFC 7493.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

import orjson

from gateway.core.message.violation import RULE_JSON, Violation
from gateway.core.message.wording import Wording
from gateway.errors import RejectedError

MAX_BODY_BYTES: Final = 1_048_576
"""Longest message: 1 MiB."""

MAX_DEPTH: Final = 64
"""Deepest nesting; the root object counts as 1."""

MAX_NODES: Final = 50_000
"""Most values in one message: objects, lists, texts, numbers, true, false and null."""

MAX_INTEGER: Final = 2**53 - 1
"""Largest magnitude of an integer: beyond it, readers that use doubles lose digits."""

WHOLE_BODY: Final = "/"
"""Pointer of a JSON violation: there is no document yet to point into."""

# An escape, then a text without escapes: after the escapes are gone, what stands between
# two quotation marks is a text, whatever it held.
_ESCAPE: Final = re.compile(rb"\\.", re.DOTALL)
_TEXT: Final = re.compile(rb'"[^"]*"')
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'[]{}"'))
_OPENING: Final = frozenset(b"[{")

# Regular expressions look for a defect, without a step of ours for each token: that costs what reading costs.
# None of them goes back over what it has passed. No possessive quantifiers: 3.11.2 gets them wrong.
_TEXT_TOKEN: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_UP_TO_LONG_NUMBER: Final = re.compile(
    rb'(?:[^"0-9-]+|' + _TEXT_TOKEN + rb"|-?[0-9]{1,15}(?![0-9.eE]))*", re.DOTALL
)
_NUMBER: Final = re.compile(rb"-?[0-9][0-9.eE+-]*")
# A text that is a key comes with its colon.
_KEY_OR_BRACE: Final = re.compile(_TEXT_TOKEN + rb"(?:[ \t\r\n]*:)?|[{}]", re.DOTALL)
# Where the parser stops: a number that no double can hold, half of a surrogate pair.
_ANY_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![0-9.eE+-])")
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
# 2^53 - 1 has 16 digits; a longer literal is never converted, which would take long.
_LONGEST_INTEGER: Final = len("-9007199254740991")

_NOT_UTF8: Final = Wording(
    en="The body must be UTF-8 without a byte order mark.",
    fr="Le corps doit être en UTF-8 sans marque d'ordre des octets (BOM).",
)
_EMPTY: Final = Wording(
    en="The body must be one JSON object; nothing is in it.",
    fr="Le corps doit être un objet JSON ; il n'y a rien dedans.",
)
_NOT_JSON: Final = Wording(
    en="The body must be one well-formed JSON object by RFC 8259; "
    "reading stops at line {line}, column {column}.",
    fr="Le corps doit être un seul objet JSON bien formé selon la RFC 8259 ; "
    "la lecture s'arrête ligne {line}, colonne {column}.",
)
_NOT_OBJECT: Final = Wording(
    en="The body must be a JSON object: {{…}}.", fr="Le corps doit être un objet JSON : {{…}}."
)
_TOO_DEEP: Final = Wording(
    en="Objects and lists must not be nested deeper than {limit} levels.",
    fr="Les objets et les listes ne doivent pas être imbriqués sur plus de {limit} niveaux.",
)
_TOO_MANY: Final = Wording(
    en="The body must not hold more than {limit} values.",
    fr="Le corps ne doit pas contenir plus de {limit} valeurs.",
)
_DUPLICATE: Final = Wording(
    en="An object must not hold the same key twice, not even written with escapes: "
    "line {line}, column {column}.",
    fr="Un objet ne doit pas contenir deux fois la même clé, même écrite avec des échappements : "
    "ligne {line}, colonne {column}.",
)
_FRACTION: Final = Wording(
    en="Numbers must be written as integers, without fraction or exponent: line {line}, column {column}. "
    "Decimal amounts are texts.",
    fr="Les nombres doivent être écrits comme des entiers, sans décimale ni exposant : ligne {line}, "
    "colonne {column}. Les montants décimaux sont des textes.",
)
_OUT_OF_RANGE: Final = Wording(
    en="Integers must lie between -(2^53-1) and 2^53-1: line {line}, column {column}.",
    fr="Les entiers doivent être compris entre -(2^53-1) et 2^53-1 : ligne {line}, colonne {column}.",
)
_SURROGATE_ALONE: Final = Wording(
    en="Escapes from \\uD800 to \\uDFFF must come in pairs, the high half of a character before the low "
    "one: line {line}, column {column}.",
    fr="Les échappements de \\uD800 à \\uDFFF doivent aller par paires, la moitié haute d'un caractère "
    "avant la moitié basse : ligne {line}, colonne {column}.",
)


class JsonRefusedError(RejectedError):
    """The body is not strict JSON; ``violation`` says why, without a value of the body."""

    code = "json-refused"

    def __init__(self, wording: Wording, **facts: int) -> None:
        """Record what strict JSON expects, and where."""
        filled = wording.fill(**{name: str(fact) for name, fact in facts.items()})
        super().__init__(filled.en)
        self.violation = Violation(rule=RULE_JSON, pointer=WHOLE_BODY, wording=filled)


class MessageTooLargeError(RejectedError):
    """The body is longer than a message may be."""

    code = "message-too-large"

    def __init__(self, *, max_bytes: int) -> None:
        """Record the limit."""
        super().__init__(f"a message is at most {max_bytes} bytes long")
        self.max_bytes = max_bytes


def parse_json(
    body: bytes,
    *,
    max_bytes: int = MAX_BODY_BYTES,
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
) -> dict[str, Any]:
    """Return the JSON object that ``body`` holds; see `read_json`."""
    return read_json(body, max_bytes=max_bytes, max_depth=max_depth, max_nodes=max_nodes)[0]


def read_json(
    body: bytes,
    *,
    max_bytes: int = MAX_BODY_BYTES,
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
) -> tuple[dict[str, Any], bool]:
    """Return the JSON object that ``body`` holds, and whether writing it gives ``body`` again.

    The object has no key twice, no float, and no integer beyond ``MAX_INTEGER``.

    Args:
        body: The body as received.
        max_bytes: Longest body.
        max_depth: Deepest nesting; the root counts as 1.
        max_nodes: Most values.

    Raises:
        MessageTooLargeError: The body is longer than ``max_bytes``.
        JsonRefusedError: The body is not strict JSON.

    Spec: docs/spec/messages.md, "Strict JSON".
    """
    document, is_canonical = begin_json(body, max_bytes=max_bytes, max_depth=max_depth, max_nodes=max_nodes)
    finish_json(body, document, is_canonical=is_canonical, max_depth=max_depth)
    return document, is_canonical


def begin_json(
    body: bytes,
    *,
    max_bytes: int = MAX_BODY_BYTES,
    max_depth: int = MAX_DEPTH,
    max_nodes: int = MAX_NODES,
) -> tuple[dict[str, Any], bool]:
    """Return what `read_json` returns, before all of it is known to be strict.

    For whoever has a cheaper way than `finish_json` to know the rest. If writing the object gives
    ``body`` again, no key came twice and all integers are in range; it may hold floats and be
    nested too deep. If not, nothing is known yet.

    Args:
        body: The body as received.
        max_bytes: Longest body.
        max_depth: Deepest nesting; the root counts as 1.
        max_nodes: Most values.

    Raises:
        MessageTooLargeError: The body is longer than ``max_bytes``.
        JsonRefusedError: The body is no JSON object, or holds too many values.
    """
    if len(body) > max_bytes:
        raise MessageTooLargeError(max_bytes=max_bytes)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The parser has a limit of its own, which keeps its stack safe; its error does not say so.
        _refuse_depth(body, max_depth)
        raise _malformed(body, error) from None
    if type(document) is not dict:
        raise JsonRefusedError(_NOT_OBJECT)
    # Every value but the root takes two bytes at least: its own, and one of ``[,:`` before it.
    if len(body) > 2 * max_nodes and has_more_values(document, max_nodes):
        raise JsonRefusedError(_TOO_MANY, limit=max_nodes)
    return document, _is_canonical(document, body)


def finish_json(
    body: bytes, document: dict[str, Any], *, is_canonical: bool, max_depth: int = MAX_DEPTH
) -> None:
    """Verify what `begin_json` has left open.

    Args:
        body: The body as received.
        document: The object that it holds.
        is_canonical: Whether writing the object gives the body again.
        max_depth: Deepest nesting; the root counts as 1.

    Raises:
        JsonRefusedError: The body is not strict JSON.
    """
    if is_canonical and _holds_no_float(document, max_depth):
        return
    # What the document does not show: a key that came twice may have held anything.
    _refuse_depth(body, max_depth)
    _second_pass(body)


def has_more_values(document: Mapping[str, Any], most: int) -> bool:
    """Return whether a document holds more than so many values: itself, and all that is in it but keys."""
    count = 1
    waiting: list[Any] = [document]
    for container in waiting:
        count += len(container)
        if count > most:
            return True
        values = container.values() if type(container) is dict else container
        waiting.extend([value for value in values if type(value) is dict or type(value) is list])
    return False


def _refuse_depth(body: bytes, max_depth: int) -> None:
    """Refuse nesting beyond ``max_depth``, which the second pass and its stack could not bear.

    In a malformed body the count may be off: then it is refused all the same, for that.
    """
    if body.count(b"[") + body.count(b"{") <= max_depth:
        return
    structure = body
    if b"\\" in structure:
        structure = _ESCAPE.sub(b"", structure)
    structure = _TEXT.sub(b"", structure.translate(None, _NOT_STRUCTURE))
    depth = 0
    for character in structure:
        if character in _OPENING:
            depth += 1
            if depth > max_depth:
                raise JsonRefusedError(_TOO_DEEP, limit=max_depth)
        else:
            depth -= 1


def _malformed(body: bytes, error: orjson.JSONDecodeError) -> JsonRefusedError:
    """Say why the parser refused the body. Its own text may quote the body, so it is dropped.

    RFC 8259 allows numbers of any size and halves of surrogate pairs; the parser does not, and stops
    where they begin.
    """
    # No text of JSON begins with a NUL, or has one as its second byte, but in UTF-16 and UTF-32.
    if body.startswith(_BYTE_ORDER_MARKS) or b"\x00" in body[:2]:
        return JsonRefusedError(_NOT_UTF8)
    if not body.strip():
        return JsonRefusedError(_EMPTY)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return JsonRefusedError(_NOT_UTF8)
    wording = _NOT_JSON
    number = _ANY_NUMBER.match(text, error.pos)
    # A number that a double holds is in a place that is not for one.
    if number is not None and math.isinf(float(number[0])):
        wording = _OUT_OF_RANGE if number[1] is None and number[2] is None else _FRACTION
    elif _SURROGATE.match(text, error.pos) is not None:
        wording = _SURROGATE_ALONE
    return JsonRefusedError(wording, line=error.lineno, column=error.colno)


def _holds_no_float(document: dict[str, Any], max_depth: int) -> bool:
    """Return whether no value of the document is a float.

    It goes down level by level, so that the depth comes with it. Lists of the containers still
    to visit replace recursion: that is faster, and texts, which most values are, cost one
    comparison.

    Raises:
        JsonRefusedError: The document is nested deeper than ``max_depth``.
    """
    level: list[Any] = [document]
    depth = 0
    while level:
        depth += 1
        if depth > max_depth:
            raise JsonRefusedError(_TOO_DEEP, limit=max_depth)
        below: list[Any] = []
        for container in level:
            for value in container.values() if type(container) is dict else container:
                kind = type(value)
                if kind is not str:
                    if kind is dict or kind is list:
                        below.append(value)
                    elif kind is float:
                        return False
        level = below
    return True


def _is_canonical(document: dict[str, Any], body: bytes) -> bool:
    """Return whether writing the document gives ``body``, with every integer in range.

    Then no key came twice, for it would have been dropped, and no integer was read as
    something else.
    """
    try:
        return orjson.dumps(document, option=orjson.OPT_STRICT_INTEGER) == body
    except orjson.JSONEncodeError:
        return False


class _DefectError(Exception):
    """The second pass met what strict JSON refuses. Never leaves this module."""


def _second_pass(body: bytes) -> None:
    """Read the body once more with hooks that see every key and every number.

    Raises:
        JsonRefusedError: A key comes twice, or a number is no integer in range.
    """
    try:
        json.loads(  # noqa: TID251 - this is the module that makes it strict
            body,
            object_pairs_hook=_refuse_duplicate,
            parse_float=_refuse_number,
            parse_int=_refuse_out_of_range,
            parse_constant=_refuse_number,
        )
    except _DefectError:
        raise _locate(body) from None


def _refuse_duplicate(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise _DefectError


def _refuse_number(_: str) -> None:
    raise _DefectError


def _refuse_out_of_range(literal: str) -> None:
    if len(literal) > _LONGEST_INTEGER or abs(int(literal)) > MAX_INTEGER:
        raise _DefectError


def _locate(body: bytes) -> JsonRefusedError:
    """Find the first defect of a well-formed body, to say its line and column."""
    number_at, wording = _first_number(body)
    key_at = _first_repeated_key(body[:number_at])
    if key_at is not None:
        return _at(_DUPLICATE, body, key_at)
    # Both readers saw the same bytes; should they ever disagree, the body is refused all the same.
    return _at(wording or _NOT_JSON, body, number_at if wording else 0)


def _first_number(body: bytes) -> tuple[int, Wording | None]:
    """Return where the first number stands that is no integer in range, and what is wrong; else the end."""
    offset = 0
    while (passed := _UP_TO_LONG_NUMBER.match(body, offset)) is not None:
        offset = passed.end()
        found = _NUMBER.match(body, offset)
        if found is None:
            break
        literal = found[0]
        if not literal.lstrip(b"-").isdigit():
            return offset, _FRACTION
        if len(literal) > _LONGEST_INTEGER or abs(int(literal)) > MAX_INTEGER:
            return offset, _OUT_OF_RANGE
        offset = found.end()
    return len(body), None


def _first_repeated_key(body: bytes) -> int | None:
    """Return where the first key stands that its object has already; None without one."""
    keys: list[set[bytes]] = []
    for number, token in enumerate(_KEY_OR_BRACE.findall(body)):
        last = token[-1:]
        if last == b"{":
            keys.append(set())
        elif last == b"}":
            keys.pop()
        elif last == b":":
            key = token[1 : token.rindex(b'"')]
            if b"\\" in key:
                key = orjson.loads(token[: len(key) + 2]).encode()
            if key in keys[-1]:
                return next(islice(_KEY_OR_BRACE.finditer(body), number, None)).start()
            keys[-1].add(key)
    return None


def _at(wording: Wording, body: bytes, offset: int) -> JsonRefusedError:
    """Return the refusal with line and column of ``offset``, both from 1, columns in characters."""
    line_start = body.rfind(b"\n", 0, offset) + 1
    return JsonRefusedError(
        wording,
        line=body.count(b"\n", 0, offset) + 1,
        column=len(body[line_start:offset].decode()) + 1,
    )
