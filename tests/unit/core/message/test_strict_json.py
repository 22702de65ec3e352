"""A body is read in one way only, or not at all."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import orjson
import pytest

from gateway.core.message.strict_json import (
    MAX_BODY_BYTES,
    MAX_INTEGER,
    JsonRefusedError,
    MessageTooLargeError,
    parse_json,
    read_json,
)

TWICE = "same key twice"
FRACTION = "without fraction"
RANGE = "between -(2^53-1) and 2^53-1"
UTF8 = "UTF-8"
WELL_FORMED = "well-formed"
PAIRS = "in pairs"
EMPTY = "nothing is in it"
OBJECT = "must be a JSON object"
DEEP = "deeper than 64"

REFUSALS: list[tuple[str, bytes, str]] = [
    ("the same key twice", b'{"a":1,"a":2}', TWICE),
    ("the same key with the same value", b'{"a":1,"a":1}', TWICE),
    ("the same key written with an escape", b'{"a":1,"\\u0061":2}', TWICE),
    ("the same key in a nested object", b'{"x":[{"b":{"k":1,"k":2}}]}', TWICE),
    ("the empty key twice", b'{"":1,"":2}', TWICE),
    ("a fraction", b'{"a":1.5}', FRACTION),
    ("a whole number with a fraction", b'{"a":7.0}', FRACTION),
    ("a whole number with an exponent", b'{"a":1e3}', FRACTION),
    ("an exponent in capitals", b'{"a":1E3}', FRACTION),
    ("negative zero with a fraction", b'{"a":-0.0}', FRACTION),
    ("a fraction in canonical form", orjson.dumps({"a": [0.1]}), FRACTION),
    ("2^53", b'{"a":9007199254740992}', RANGE),
    ("-2^53", b'{"a":-9007199254740992}', RANGE),
    ("2^64, which some parsers read as a float", b'{"a":18446744073709551616}', RANGE),
    ("an integer longer than any", b'{"a":' + b"9" * 300 + b"}", RANGE),
    ("an integer that would take long to convert", b'{"a":' + b"9" * 100_000 + b"}", RANGE),
    ("an integer that is infinite as a double", b'{"a":' + b"9" * 400 + b"}", RANGE),
    ("its negative", b'{"a":[-' + b"9" * 400 + b"]}", RANGE),
    ("an exponent that is infinite as a double", b'{"a":1e999}', FRACTION),
    ("a fraction that is infinite as a double", b'{"a":' + b"9" * 400 + b".5}", FRACTION),
    ("a number where none may stand", b'{"a":1 2}', WELL_FORMED),
    ("a number after the object", b'{"a":1}2', WELL_FORMED),
    ("a number as a key", b"{1:2}", WELL_FORMED),
    ("an infinite number that is no number", b'{"a":1e999.5}', WELL_FORMED),
    ("NaN", b'{"a":NaN}', WELL_FORMED),
    ("Infinity", b'{"a":Infinity}', WELL_FORMED),
    ("-Infinity", b'{"a":-Infinity}', WELL_FORMED),
    ("a byte order mark", b"\xef\xbb\xbf{}", UTF8),
    ("UTF-16 with a byte order mark", '{"a":1}'.encode("utf-16"), UTF8),
    ("UTF-16 without one", '{"a":1}'.encode("utf-16-le"), UTF8),
    ("UTF-16 the other way round", '{"a":1}'.encode("utf-16-be"), UTF8),
    ("UTF-32", '{"a":1}'.encode("utf-32-le"), UTF8),
    ("Latin-1", '{"a":"é"}'.encode("latin-1"), UTF8),
    ("an overlong encoding", b'{"a":"\xc0\xaf"}', UTF8),
    ("a lone surrogate as an escape", b'{"a":"\\ud800"}', PAIRS),
    ("a lone low surrogate as an escape", b'{"a":"\\udc00"}', PAIRS),
    ("a lone surrogate in a key", b'{"\\ud800":1}', PAIRS),
    ("two surrogates in the wrong order", b'{"a":"\\ude00\\ud83d"}', PAIRS),
    ("half an escape", b'{"a":"\\ud8"}', WELL_FORMED),
    ("a surrogate encoded in UTF-8", b'{"a":"\xed\xa0\x80"}', UTF8),
    ("a control character in a text", b'{"a":"\x01"}', WELL_FORMED),
    ("a NUL after the value", b'{"a":1}\x00', WELL_FORMED),
    ("nothing", b"", EMPTY),
    ("white space only", b" \n", EMPTY),
    ("an unfinished object", b'{"a":', WELL_FORMED),
    ("two values", b"{} {}", WELL_FORMED),
    ("a trailing comma", b'{"a":1,}', WELL_FORMED),
    ("a comment", b'{"a":1}//x', WELL_FORMED),
    ("single quotes", b"{'a':1}", WELL_FORMED),
    ("a leading zero", b'{"a":01}', WELL_FORMED),
    ("a plus sign", b'{"a":+1}', WELL_FORMED),
    ("a list", b"[]", OBJECT),
    ("a text", b'"a"', OBJECT),
    ("null", b"null", OBJECT),
    ("65 levels of objects", b'{"a":' * 64 + b"{}" + b"}" * 64, DEEP),
    ("65 levels of lists", b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", DEEP),
    ("100,000 nested lists", b"[" * 100_000, DEEP),
    ("1,000 levels beside a fraction", b'{"f":1.5,"a":' + b"[" * 1000 + b"]" * 1000 + b"}", DEEP),
    ("1,000 levels under a key that comes twice", b'{"a":' + b"[" * 1000 + b"]" * 1000 + b',"a":1}', DEEP),
    ("65 levels after a text with escapes", b'{"q":"\\\\\\"[","a":' + b"[" * 64 + b"]" * 64 + b"}", DEEP),
]


@pytest.mark.parametrize(("body", "reason"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_what_readers_disagree_on_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(JsonRefusedError) as refusal:
        parse_json(body)

    violation = refusal.value.violation
    assert (violation.rule, violation.pointer) == ("JSON", "/")
    assert reason in violation.text("en")
    assert violation.text("fr") != violation.text("en")


ACCEPTED: list[tuple[str, bytes, Any]] = [
    ("an empty object", b"{}", {}),
    ("white space around", b' \r\n\t{ "a" : [ ] }\n', {"a": []}),
    ("the largest integer", b'{"a":9007199254740991}', {"a": MAX_INTEGER}),
    ("the smallest integer", b'{"a":-9007199254740991}', {"a": -MAX_INTEGER}),
    ("negative zero, which is an integer", b'{"a":-0}', {"a": 0}),
    ("one key in two objects", b'{"a":{"k":1},"b":{"k":2}}', {"a": {"k": 1}, "b": {"k": 2}}),
    ("escapes", b'{"a":"\\u00e9\\n\\"\\\\"}', {"a": 'é\n"\\'}),
    ("a pair of surrogates", b'{"a":"\\ud83d\\ude00"}', {"a": "😀"}),
    ("an escaped NUL, which the schema refuses", b'{"a":"\\u0000"}', {"a": "\0"}),
    ("numbers inside a text", b'{"a":"1.5 1e3 NaN"}', {"a": "1.5 1e3 NaN"}),
    ("a key that looks like a number", b'{"1.5":1}', {"1.5": 1}),
    ("brackets inside a text", b'{"a":"' + b"[" * 1000 + b'"}', {"a": "[" * 1000}),
    ("brackets after escapes in a text", b'{"a":"\\"\\\\' + b"{" * 99 + b'"}', {"a": '"\\' + "{" * 99}),
]


@pytest.mark.parametrize(("body", "document"), [a[1:] for a in ACCEPTED], ids=[a[0] for a in ACCEPTED])
def test_what_all_readers_agree_on_is_read(body: bytes, document: dict[str, Any]) -> None:
    assert parse_json(body) == document


def test_64_levels_are_read() -> None:
    body = b'{"a":' * 63 + b"{}" + b"}" * 63

    assert orjson.dumps(parse_json(body)) == body


def test_many_shallow_objects_are_not_deep() -> None:
    document: dict[str, Any] = {"a": [{"b": [[], {}]}] * 1000}

    assert parse_json(orjson.dumps(document)) == document


def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_not() -> None:
    body = b'{"a":"' + b"x" * (MAX_BODY_BYTES - 8) + b'"}'
    assert len(body) == MAX_BODY_BYTES
    parse_json(body)

    with pytest.raises(MessageTooLargeError) as refusal:
        parse_json(body + b" ")
    assert refusal.value.code == "message-too-large"


@pytest.mark.parametrize("spaced", [False, True])
def test_fifty_thousand_values_are_read_and_one_more_is_not(*, spaced: bool) -> None:
    def body(count: int) -> bytes:
        # The root and the list count as well.
        return orjson.dumps({"a": [1] * (count - 2)}) + b" " * spaced

    parse_json(body(50_000))
    with pytest.raises(JsonRefusedError, match="50000 values"):
        parse_json(body(50_001))


def test_the_place_of_a_defect_is_told() -> None:
    body = '{\n  "é": "x", "b": 1,\n  "ü": [1, 2, 3.5]\n}'.encode()

    with pytest.raises(JsonRefusedError) as refusal:
        parse_json(body)

    assert "line 3, column 15" in refusal.value.violation.text("en")
    assert "ligne 3, colonne 15" in refusal.value.violation.text("fr")


def test_the_second_of_two_equal_keys_is_the_place_of_the_defect() -> None:
    with pytest.raises(JsonRefusedError, match="line 2, column 2"):
        parse_json(b'{"k":{"a":"\\"k\\":1"},\n "\\u006b":2}')


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"a":{},"b":[1.5],"a":2e3}', "line 1, column 14"),
        (b'{"a":{"b":1,\n"b" :2},"c":1.5}', "line 2, column 1"),
        (b'{"a":9007199254740991,"b":9007199254740992,"a":1}', "line 1, column 27"),
        (b'{"1.5":"1e3, \\"","b":[-9007199254740991,-9007199254740992]}', "line 1, column 41"),
        (b'{"a":{"k":1},"b":{"k":{"k":1},"\\u006b":1}}', "line 1, column 31"),
    ],
)
def test_the_first_of_several_defects_is_told(body: bytes, place: str) -> None:
    with pytest.raises(JsonRefusedError, match=f"{place}\\."):
        parse_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"Dupont":1,"Dupont":"Dupont"}',
        b'{"Dupont":1.5}',
        b'{"a":"Dupont}',
        b'"Dupont"',
        b'{"Dupont":"\\udead"}',
        b'{"Dupont":"\xff"}',
        b'{"Dupont":9007199254740993}',
    ],
)
def test_a_refusal_repeats_nothing_of_the_body(body: bytes) -> None:
    with pytest.raises(JsonRefusedError) as refusal:
        parse_json(body)

    told = [str(refusal.value), *(refusal.value.violation.text(language) for language in ("en", "fr"))]
    assert not any("Dupont" in text or "9007199254740993" in text for text in told)
    # Nor does the chain of exceptions, which ends up in a log.
    assert refusal.value.__cause__ is None
    assert refusal.value.__context__ is None or refusal.value.__suppress_context__


@pytest.mark.parametrize(
    "body",
    [
        b"[" * MAX_BODY_BYTES,
        b"{" * MAX_BODY_BYTES,
        b'{"a":' * 200_000,
        b'{"a":[' + b"[]," * 340_000 + b"[]]}",
        b'{"a":"' + b'\\"' * 500_000 + b'"}',
        b'{"a":' + b"9" * 1_000_000 + b"}",
        b'{"a":"' + b"[" * 1_000_000,
    ],
    ids=["lists", "objects", "keys", "empty lists", "escapes", "digits", "unfinished text"],
)
def test_hostile_bodies_cost_little(body: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(JsonRefusedError):
        parse_json(body)
    # Measured: at most 80 ms. Processor time, and a wide bound, because test machines are shared.
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("body", "is_written_so"),
    [
        (b'{"a":[1,"x"],"b":null}', True),
        (b'{"a": 1}', False),
        (b'{"a":"\\u00e9"}', False),
        (b'{"a":"\xc3\xa9"}', True),
        (b'{"a":-0}', False),
    ],
)
def test_the_reader_says_whether_a_document_written_down_is_the_body_again(
    body: bytes, is_written_so: bool
) -> None:
    document, found = read_json(body)

    assert found is is_written_so
    assert (orjson.dumps(document) == body) is is_written_so
