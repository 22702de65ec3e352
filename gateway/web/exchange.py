"""A request as a handler gets it, and the reply that it gives back.

Both are plain values: a handler knows no sockets. By the time it runs, the caller is
known, the path has matched its pattern, and the body is complete and within its limit.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import unquote

from gateway.core.message.wording import Language, Wording
from gateway.core.quick import quick_value
from gateway.web.refusals import BadParameter, ParameterError

C = TypeVar("C")
"""What a port calls its callers: an agency, an operator, the peer."""

JSON_MEDIA_TYPE: Final = "application/json"

MAX_QUERY: Final = 1_024
_MAX_FIELDS: Final = 16
_QUERY: Final = re.compile(r"[A-Za-z0-9_.~!*'()/:@,;=&%+-]*")

_UNKNOWN: Final = Wording(
    en="no such parameter here; this call takes {names}",
    fr="ce paramètre n'existe pas ; cet appel admet {names}",
)
_NONE: Final = Wording(en="this call takes no parameter", fr="cet appel n'admet aucun paramètre")
_TWICE: Final = Wording(en="given more than once", fr="donné plus d'une fois")
_UNREADABLE: Final = Wording(en="the query cannot be read", fr="les paramètres sont illisibles")
_INTEGER: Final = Wording(en="an integer from {low} to {high}", fr="un entier de {low} à {high}")
_NUMBER: Final = Wording(en="a number from {low} to {high}", fr="un nombre de {low} à {high}")
_CHOICE: Final = Wording(en="one of: {choices}", fr="une valeur parmi : {choices}")
_PATTERN: Final = Wording(en="not in the documented form", fr="pas dans la forme documentée")

_DECIMAL: Final = re.compile(r"[0-9]{1,18}")
_SECONDS: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?")


class Query:
    """Query parameters, read strictly: unknown ones, repeated ones and odd values refuse.

    Problems are collected while a handler asks for its parameters; `done` raises them all.
    """

    __slots__ = ("_bad", "_values")

    def __init__(self, text: str, names: frozenset[str]) -> None:
        """Read the part of the request target behind the question mark."""
        self._values: dict[str, str] = {}
        self._bad: list[BadParameter] = []
        if text:
            self._read(text, names)

    def integer(self, name: str, *, default: int, low: int, high: int) -> int:
        """Return an integer parameter."""
        text = self._values.get(name)
        if text is None:
            return default
        if _DECIMAL.fullmatch(text) is None or not low <= int(text) <= high:
            self._refuse(name, _INTEGER.fill(low=str(low), high=str(high)))
            return default
        return int(text)

    def seconds(self, name: str, *, default: float, low: float, high: float) -> float:
        """Return a number of seconds."""
        text = self._values.get(name)
        if text is None:
            return default
        if _SECONDS.fullmatch(text) is None or not low <= float(text) <= high:
            self._refuse(name, _NUMBER.fill(low=f"{low:g}", high=f"{high:g}"))
            return default
        return float(text)

    def choice(self, name: str, *, default: str, choices: tuple[str, ...]) -> str:
        """Return one of a few words."""
        text = self._values.get(name, default)
        if text not in choices:
            self._refuse(name, _CHOICE.fill(choices=", ".join(choices)))
            return default
        return text

    def text(self, name: str, *, pattern: re.Pattern[str], expected: Wording = _PATTERN) -> str | None:
        """Return a parameter in a given form, or None if it is absent.

        Args:
            name: Of the parameter.
            pattern: Its form.
            expected: That form in words, for whoever gave another.
        """
        text = self._values.get(name)
        if text is not None and pattern.fullmatch(text) is None:
            self._refuse(name, expected)
            return None
        return text

    def done(self) -> None:
        """Raise everything that was wrong.

        Raises:
            ParameterError: Something was.
        """
        if self._bad:
            raise ParameterError(self._bad)

    def _refuse(self, name: str, expected: Wording) -> None:
        self._bad.append(BadParameter(name=name, expected=expected))

    def _read(self, text: str, names: frozenset[str]) -> None:
        fields = text.split("&")
        if len(text) > MAX_QUERY or len(fields) > _MAX_FIELDS or _QUERY.fullmatch(text) is None:
            self._refuse("", _UNREADABLE)
            return
        for item in fields:
            name, _, value = item.partition("=")
            # Names are ours, so they need no decoding; a value may come encoded.
            if name not in names:
                self._refuse("", _UNKNOWN.fill(names=", ".join(sorted(names))) if names else _NONE)
            elif name in self._values:
                self._refuse(name, _TWICE)
            else:
                self._values[name] = unquote(value, errors="replace")


async def _never() -> None:  # pragma: no cover - replaced by every connection
    """Stand in for a connection that never goes away."""


@quick_value
class Request(Generic[C]):
    """One request.

    Attributes:
        caller: Who asks.
        names: Parts of the path by name, each in the form its route demands.
        query: Query parameters; the handler ends its questions with ``query.done()``.
        headers: Header fields by lower-case name, as far as the route names them.
        body: Complete body.
        language: Language of the reader.
        when_gone: Awaitable that ends when the client goes away or the port is closing;
            what waits for long races it.
    """

    caller: C
    names: Mapping[str, str]
    query: Query
    headers: Mapping[str, str]
    body: bytes
    language: Language
    when_gone: Callable[[], Awaitable[None]] = field(default=_never)


@quick_value
class Reply:
    """One answer.

    Attributes:
        status: HTTP status.
        body: Its bytes, or None for no body at all.
        media_type: Of the body.
        language: Language of texts in it, or None if it has none; sets Content-Language
            and Vary.
        headers: Further header fields.
        close: Whether the connection ends with this answer.
    """

    body: bytes | None
    status: int = 200
    media_type: str = JSON_MEDIA_TYPE
    language: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False


Handler = Callable[[Request[Any]], Awaitable[Reply]]
