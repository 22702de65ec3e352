"""Small JSON files that are accepted in one form only.

Readers of these files parse, build the value, write it again and compare; this module is
the parsing.
"""

from __future__ import annotations

from typing import Any

from gateway.core.message.strict_json import JsonRefusedError as _JsonRefusedError
from gateway.core.message.strict_json import MessageTooLargeError, parse_json

_MAX_BYTES = 16_777_216
_MAX_NODES = 1_000_000
_MAX_DEPTH = 8


def parse_document(content: bytes) -> dict[str, Any]:
    """Return the object of a small JSON file.

    Raises:
        ValueError: Not an object in strict JSON.
    """
    try:
        return parse_json(content, max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH, max_nodes=_MAX_NODES)
    except (_JsonRefusedError, MessageTooLargeError) as error:
        msg = "not an object in strict JSON"
        raise ValueError(msg) from error
