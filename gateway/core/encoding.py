"""One encoding for every value that nodes exchange, hash or sign.

The encoding is MessagePack, cut down until each value has exactly one form: arrays only
(no maps), shortest forms, no floats, no extension types. A decoder proves it by encoding
what it read and comparing the bytes, so two nodes can never read one message differently
and a digest over the bytes is a digest over the value.

Spec: docs/spec/encoding.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgpack

from gateway.errors import MalformedError

Value: TypeAlias = "int | bytes | str | bool | tuple[Value, ...] | None"
"""What a decoder gives back. Arrays are tuples."""

Encodable: TypeAlias = "int | bytes | str | bool | Sequence[Encodable] | None"
"""What an encoder takes: `Value`, with lists as well as tuples for arrays."""

MAX_DEPTH: Final = 16
"""Arrays within arrays; no structure of the protocol needs more than five."""

MAX_VALUES: Final = 65_536
"""Values in one encoding, arrays included, unless the caller allows another number."""

MAX_INTEGER: Final = 2**64 - 1

_SMALL_BYTES: Final = 65_536
"""Up to this length the worst case in memory (about 32 times the input) does no harm."""

MAX_BATCH_BYTES: Final = 262_144
"""Encodings that are decoded at once hold at most this many bytes together: about 8 MiB at worst."""

_BATCH_ITEMS: Final = 4_096

_FEW: Final = 16

_SCALARS: Final = frozenset({int, bytes, str, bool, type(None)})
_ARRAYS: Final = frozenset({list, tuple})

# One packer for all threads: it calls no Python code while it packs, so the interpreter lock
# makes a call atomic, and it forgets what it wrote when a call fails.
_pack: Final[Callable[[Encodable], bytes]] = msgpack.Packer(autoreset=True, use_bin_type=True).pack


def encode(value: Encodable) -> bytes:
    """Return the one encoding of ``value``.

    Args:
        value: Integers from -2^63 to 2^64-1, bytes, text, booleans, None, and lists or
            tuples of these, at most 16 levels deep. Subclasses (an enumeration, say) are
            refused: the caller says which number it means.

    Raises:
        TypeError: Something in ``value`` has no encoding: a float, a map, an integer out
            of range, text that is not Unicode, or too many levels.

    Spec: docs/spec/encoding.md, "Values".
    """
    _check(value, MAX_DEPTH)
    try:
        return _pack(value)
    except (OverflowError, ValueError) as error:
        # UnicodeEncodeError is a ValueError: a lone surrogate in a text.
        msg = "an integer is out of range, or a text is not Unicode"
        raise TypeError(msg) from error


def decode(data: bytes, *, max_bytes: int, max_values: int = MAX_VALUES) -> Value:
    """Return the value that ``data`` encodes, with tuples for arrays.

    Args:
        data: Exactly one encoded value.
        max_bytes: Longest input that is looked at.
        max_values: Most values, arrays included, that an input above 64 KiB may hold. It
            bounds the memory before any is allocated.

    Raises:
        MalformedError: The bytes are not the one encoding of one value, or exceed a limit.

    Spec: docs/spec/encoding.md, "Reading".
    """
    if len(data) > max_bytes:
        msg = f"an encoded value is longer than {max_bytes} bytes"
        raise MalformedError(msg)
    if len(data) > _SMALL_BYTES:
        _count(data, max_values)
    try:
        value: Value = msgpack.unpackb(  # noqa: TID251 - this is the module that may
            data, raw=False, use_list=False, max_map_len=0, max_ext_len=0, max_array_len=max_values
        )
        # What the library reads too generously (longer forms, floats, the empty map) does
        # not come out of the encoder again, or does not go into it.
        canonical = encode(value) == data
    except (ValueError, TypeError) as error:
        # All errors of the library on bad input are ValueErrors; the text may quote input.
        msg = "the bytes are not one encoded value"
        raise MalformedError(msg) from error
    if not canonical:
        msg = "the bytes are not the shortest encoding of their value"
        raise MalformedError(msg)
    return value


def decode_batch(items: Sequence[bytes]) -> Sequence[Value] | None:
    """Return what each of many encodings holds, in half the time that `decode` takes for them.

    All are read in one step and written again one by one: an item that is its value written
    again is the one encoding of it, however it was read. What is written again and is still no
    value of the protocol is a float; it is *not* refused here: the caller compares the exact type
    of everything that it takes, as those who read entries and headers do anyway.

    Args:
        items: Encodings, each of one value.

    Returns:
        The values in the same order, or None if at least one item may not be canonical, or all
        together are too long to be read at once. `decode` then says which, and why.

    Spec: docs/spec/encoding.md, "Reading".
    """
    joined = b"".join(items)
    if not 0 < len(items) <= _BATCH_ITEMS or len(joined) > MAX_BATCH_BYTES:
        return None
    try:
        values: Sequence[Value] = msgpack.unpackb(  # noqa: TID251 - this is the module that may
            b"\xdc" + len(items).to_bytes(2, "big") + joined,
            raw=False,
            use_list=False,
            max_map_len=0,
            max_ext_len=0,
            max_array_len=MAX_VALUES,
            # What the limits let through: the empty map, and an extension without content.
            object_hook=_refuse,
            ext_hook=_refuse,
        )
        canonical = list(map(_pack, values)) == list(items)
    except (ValueError, TypeError, OverflowError):
        return None
    return values if canonical else None


def expect_array(
    value: Value, *, field: str, length: int | None = None, max_length: int | None = None
) -> tuple[Value, ...]:
    """Return ``value`` if it is an array of the expected number of values.

    Args:
        value: A decoded value.
        field: Name of the field, for the error.
        length: Exact number of values, or None.
        max_length: Most values, or None.

    Raises:
        MalformedError: It is not.
    """
    if (
        type(value) is not tuple
        or (length is not None and len(value) != length)
        or (max_length is not None and len(value) > max_length)
    ):
        raise _unexpected(field, "an array", length, max_length)
    return value


def expect_int(value: Value, *, field: str, minimum: int = 0, maximum: int = MAX_INTEGER) -> int:
    """Return ``value`` if it is an integer from ``minimum`` to ``maximum``.

    Raises:
        MalformedError: It is not, or it is a boolean.
    """
    if type(value) is not int or not minimum <= value <= maximum:
        msg = f"{field}: expected an integer from {minimum} to {maximum}"
        raise MalformedError(msg)
    return value


def expect_bytes(
    value: Value, *, field: str, length: int | None = None, max_length: int | None = None
) -> bytes:
    """Return ``value`` if it is a byte string of the expected length.

    Raises:
        MalformedError: It is not.
    """
    if (
        type(value) is not bytes
        or (length is not None and len(value) != length)
        or (max_length is not None and len(value) > max_length)
    ):
        raise _unexpected(field, "bytes", length, max_length)
    return value


def expect_text(
    value: Value, *, field: str, max_length: int = 255, pattern: re.Pattern[str] | None = None
) -> str:
    """Return ``value`` if it is a text of 1 to ``max_length`` characters.

    Args:
        value: A decoded value.
        field: Name of the field, for the error.
        max_length: Most characters.
        pattern: What the whole text has to match, or None.

    Raises:
        MalformedError: It is not.
    """
    if (
        type(value) is not str
        or not 1 <= len(value) <= max_length
        or (pattern is not None and pattern.fullmatch(value) is None)
    ):
        msg = f"{field}: expected a text of 1 to {max_length} characters in the specified form"
        raise MalformedError(msg)
    return value


def _refuse(*_: object) -> Value:
    """Refuse what the protocol has no value for."""
    msg = "only integers, bytes, text, booleans, nil and arrays are decoded"
    raise ValueError(msg)


def _unexpected(field: str, kind: str, length: int | None, max_length: int | None) -> MalformedError:
    if length is not None:
        return MalformedError(f"{field}: expected {kind} of length {length}")
    if max_length is not None:
        return MalformedError(f"{field}: expected {kind} of length {max_length} at most")
    return MalformedError(f"{field}: expected {kind}")


def _check(value: Encodable, levels: int) -> None:
    """Refuse what has no encoding."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind not in _ARRAYS or levels == 0:
        msg = "only integers, bytes, text, booleans, None and 16 levels of arrays are encoded"
        raise TypeError(msg)
    items: Sequence[Encodable] = value  # type: ignore[assignment]  # checked above
    # One step for many scalars; a few, or arrays among them, are looked at one by one.
    if len(items) > _FEW and _SCALARS.issuperset(map(type, items)):
        return
    for item in items:
        if type(item) not in _SCALARS:
            _check(item, levels - 1)


def _count(data: bytes, max_values: int) -> None:
    """Refuse an input with too many values, walking over it without building any.

    Whether the bytes are a canonical encoding is found out afterwards; this walk only has
    to see every value that the library would build.
    """
    position, end = 0, len(data)
    values = pending = 1
    while pending and position < end:
        token = _TOKENS[data[position]]
        if token is None:
            msg = "only integers, bytes, text, booleans, nil and arrays are decoded"
            raise MalformedError(msg)
        follow, width, items = token
        position += 1 + width
        size = int.from_bytes(data[position - width : position], "big") if width else 0
        if items is None:
            position += follow + size
            pending -= 1
        else:
            pending += items + size - 1
            values += items + size
        if values > max_values:
            msg = f"an encoding holds more than {max_values} values"
            raise MalformedError(msg)


def _token_table() -> tuple[tuple[int, int, int | None] | None, ...]:
    """Return, for each first byte of a value, what follows it.

    (bytes that follow, width of a length field, items of an array or None), or None where
    the protocol has no such value: maps, floats, extension types, the unused code.
    """
    table: list[tuple[int, int, int | None] | None] = [None] * 256
    for first in (*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3):
        table[first] = (0, 0, None)  # small integers, nil, booleans
    for count in range(16):
        table[0x90 + count] = (0, 0, count)
    for length in range(32):
        table[0xA0 + length] = (length, 0, None)
    for width in range(3):
        table[0xC4 + width] = table[0xD9 + width] = (0, 1 << width, None)  # bytes, text
    for width in range(4):
        table[0xCC + width] = table[0xD0 + width] = (1 << width, 0, None)  # integers
    table[0xDC], table[0xDD] = (0, 2, 0), (0, 4, 0)  # arrays
    return tuple(table)


_TOKENS: Final = _token_table()
