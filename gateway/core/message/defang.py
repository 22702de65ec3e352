"""Show web addresses of a message so that nobody's program opens them by accident.

Messages name the listings of suspects. A terminal or a mail program makes a link of what
looks like one, and one wrong click tells the seller who is looking. Only what people read is
changed: what is sent, stored or printed for machines keeps every character.

Spec: docs/spec/messages.md, "Web addresses on display".
"""

from __future__ import annotations

import re
from typing import Any, Final

_ADDRESS: Final = re.compile(
    r"""(?ix) (?<![a-z0-9]) (?: (?P<scheme> https? | ftp ) :// | (?= www\. ) ) (?P<host> [^\s/?\#"'<>]+ )"""
)
_SCHEMES: Final = {"http": "hxxp", "https": "hxxps", "ftp": "fxp"}


def defanged(value: Any) -> Any:
    """Return a JSON value in which every web address is written ``hxxps://host[.]example/…``.

    Args:
        value: A message or a part of one; it is not changed.
    """
    if isinstance(value, str):
        return _ADDRESS.sub(_defang, value)
    if isinstance(value, dict):
        return {name: defanged(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [defanged(item) for item in value]
    return value


def _defang(match: re.Match[str]) -> str:
    host = match["host"].replace(".", "[.]")
    return host if match["scheme"] is None else f"{_SCHEMES[match['scheme'].lower()]}://{host}"
