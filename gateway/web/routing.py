"""Which handler answers a path: a table of exact patterns.

Paths are matched as they were sent, without decoding: an encoded slash, a dot segment or
a stray byte matches nothing. Every variable part names the form it must have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from gateway.web.exchange import Handler
from gateway.web.refusals import MethodNotAllowedError, NoSuchPathError

UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_PART: Final = re.compile(r"\{([a-z_]+)\}")
_MAX_PATH: Final = 512


@dataclass(frozen=True, kw_only=True)
class Route:
    """One call.

    Attributes:
        name: Stable name, for metrics and logs.
        method: HTTP method.
        path: Template: ``/v1/messages/{id}:withdraw``.
        parts: Regular expression of each variable part of the template.
        handler: Answers it.
        query: Names of the query parameters it takes.
        headers: Lower-case names of the header fields it looks at.
        media_types: Media types of the body it takes, in lower case with their
            parameters; empty for a call without body.
        max_body: Longest body in bytes.
        deadline_s: The handler has to be done after this.
    """

    name: str
    method: str
    path: str
    handler: Handler
    parts: Mapping[str, str]
    query: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    media_types: frozenset[str] = frozenset()
    max_body: int = 0
    deadline_s: float = 30.0

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The whole path as a regular expression."""
        pieces = _PART.split(self.path)
        text = re.escape(pieces[0])
        for name, literal in zip(pieces[1::2], pieces[2::2], strict=True):
            text += f"(?P<{name}>{self.parts[name]})" + re.escape(literal)
        return re.compile(text)


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Take the routes; fixed paths are looked up, the others tried in order."""
        self._fixed: dict[str, dict[str, Route]] = {}
        self._variable: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            methods = by_path.setdefault(route.path, {})
            methods[route.method] = route
            if len(methods) > 1:
                continue
            if route.parts:
                self._variable.append((route.pattern, methods))
            else:
                self._fixed[route.path] = methods

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Return the route and the variable parts of the path.

        Raises:
            NoSuchPathError: No route has this path.
            MethodNotAllowedError: The path takes other methods.
        """
        methods = self._fixed.get(path)
        names: Mapping[str, str] = {}
        if methods is None and len(path) <= _MAX_PATH:
            for pattern, candidate in self._variable:
                match = pattern.fullmatch(path)
                if match is not None:
                    methods, names = candidate, match.groupdict()
                    break
        if methods is None:
            msg = "nothing is at this path"
            raise NoSuchPathError(msg)
        route = methods.get(method)
        if route is None:
            raise MethodNotAllowedError(sorted(methods))
        return route, names
