"""A ZIP archive with exactly one form for each set of members.

Members are stored and not compressed, in the order that the writer was given, with fixed
attributes and the oldest time that the format knows. So the same content is the same file
wherever it is made, there is nothing to blow up while unpacking, and a reader that writes
what it read and compares has looked at every byte: no second directory, no hidden member,
no two members of one name, nothing before, between or behind.

Spec: PKWARE APPNOTE 6.3.3, Sections 4.3.7, 4.3.12, 4.3.16; docs/spec/evidence.md, "Archive".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from gateway.errors import MalformedError

MAX_MEMBERS: Final = 1_000
MAX_NAME_CHARACTERS: Final = 120

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""Relative, of plain characters, without a segment that begins with a dot: safe wherever it is unpacked."""

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_LOCAL_MARK: Final = b"PK\x03\x04"
_VERSION: Final = 10
_MADE_BY_UNIX: Final = 3 << 8 | _VERSION
_DATE: Final = 1 << 5 | 1
"""1 January 1980, the beginning of the format's time."""

_MODE: Final = 0o100644 << 16

Member = tuple[str, bytes]
"""Name and content."""


def write_archive(members: Sequence[Member]) -> bytes:
    """Return the archive of these members, in this order.

    Raises:
        ValueError: A name is not a plain relative path, stands twice, or there are too many.
    """
    names = [name for name, _ in members]
    if len(set(names)) != len(names) or len(names) > MAX_MEMBERS or not all(map(_is_name, names)):
        msg = "the names of an archive are plain relative paths, each once"
        raise ValueError(msg)
    files: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for name, content in members:
        encoded, size = name.encode("ascii"), len(content)
        common = (0, 0, 0, _DATE, crc32(content), size, size, len(encoded))
        files += [_LOCAL.pack(_LOCAL_MARK, _VERSION, *common, 0), encoded, content]
        entry = _CENTRAL.pack(b"PK\x01\x02", _MADE_BY_UNIX, _VERSION, *common, 0, 0, 0, 0, _MODE, offset)
        directory += [entry, encoded]
        offset += _LOCAL.size + len(encoded) + size
    length = sum(map(len, directory))
    count = len(members)
    return b"".join((*files, *directory, _END.pack(b"PK\x05\x06", 0, 0, count, count, length, offset, 0)))


def read_archive(data: bytes, *, max_bytes: int) -> tuple[Member, ...]:
    """Return the members of an archive that `write_archive` made.

    Args:
        data: The whole file.
        max_bytes: Longest archive that is looked at.

    Raises:
        MalformedError: Longer than that, or not the one form of its members.
    """
    if len(data) > max_bytes:
        msg = f"the archive is longer than {max_bytes} bytes"
        raise MalformedError(msg)
    members: list[Member] = []
    at = 0
    while data.startswith(_LOCAL_MARK, at) and len(members) <= MAX_MEMBERS:
        if len(data) - at < _LOCAL.size:
            break
        *_, size, name_length, _ = _LOCAL.unpack_from(data, at)
        start = at + _LOCAL.size + name_length
        # Slices never reach beyond the data, so a size that lies costs nothing.
        name = data[at + _LOCAL.size : start].decode("latin-1")
        members.append((name, data[start : start + size]))
        at = start + size
    try:
        canonical = write_archive(members) == data
    except ValueError:
        canonical = False
    if not canonical:
        msg = "the file is not an archive in the one form that evidence has"
        raise MalformedError(msg)
    return tuple(members)


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME_CHARACTERS and _NAME.fullmatch(name) is not None
