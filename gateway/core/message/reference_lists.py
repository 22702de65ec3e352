"""Lists of values that exist: places, goods codes, banks, maritime digits.

Such lists age. A port that opened last year is in no list of the year before, so a value
that is well formed but not listed gives its sender a warning and is never refused. The
lists are files that each nation replaces when it likes; they belong to no type's digest, and
two nodes with different editions still decide alike on every message.

A list holds *members* in *groups*: the places of a country, the headings of a chapter. A
list that is not complete says nothing about a group that it lacks.

Spec: docs/reference-lists.md; schemas/list.schema.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import jsonschema_rs
import orjson

from gateway.core.message.compiled import compile_schema
from gateway.core.message.wording import Wording
from gateway.errors import OperatorError

SCHEMA_PATH: Final = "list.schema.json"
"""Path below ``schemas/`` of the schema that every list satisfies."""

LIST_FILE: Final = re.compile(r"([a-z0-9_]+)\.json")


class ReferenceListError(OperatorError):
    """A reference list cannot be used; the text names the file."""

    code = "reference-list-invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """Which edition of a list a node has.

    Attributes:
        title: What the list is called.
        name: Name of the edition.
        renew_by: Last day on which it counts as current.
        source: Publisher, origin of the copy, licence.
    """

    title: Wording
    name: str
    renew_by: date
    source: str


class ReferenceList:
    """One list."""

    __slots__ = ("_complete", "_groups", "_sets", "edition")

    def __init__(self, *, edition: Edition, complete: bool, groups: Mapping[str, str]) -> None:
        """Take the members of each group, separated by single spaces."""
        self.edition = edition
        self._complete = complete
        self._groups = groups
        # A node meets few of the groups: sets of all would take twenty times the memory.
        self._sets: dict[str, frozenset[str]] = {}

    def lacks(self, group: str, member: str) -> bool:
        """Tell whether the list speaks about the group and does not have the member."""
        members = self._sets.get(group)
        if members is None:
            if group not in self._groups:
                return self._complete
            members = self._sets[group] = frozenset(self._groups[group].split(" "))
        return member not in members

    def __len__(self) -> int:
        """Return the number of its members."""
        return sum(members.count(" ") + 1 for members in self._groups.values())


ReferenceLists = Mapping[str, ReferenceList]
"""Lists by name: that of the file without ``.json``."""

NO_LISTS: Final[ReferenceLists] = {}
"""What a node without lists has: it warns of nothing."""


def read_reference_list(
    path: str, content: bytes, checker: jsonschema_rs.Draft202012Validator
) -> ReferenceList:
    """Return the list that a file holds.

    Args:
        path: What to call the file in an error.
        content: The file.
        checker: Compiled ``list.schema.json``; see `list_checker`.

    Raises:
        ReferenceListError: It is no JSON, or its schema refuses it.
    """
    try:
        document: dict[str, Any] = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        msg = f"{path} is no JSON: {error}"
        raise ReferenceListError(msg) from error
    for refusal in checker.iter_errors(document):
        place = "".join(f"/{step}" for step in refusal.instance_path)
        msg = f"{path}: {refusal.schema_path[-1]} at {place or '/'}"
        raise ReferenceListError(msg)
    return ReferenceList(
        edition=Edition(
            title=Wording(en=document["title"], fr=document["x-title-fr"]),
            name=document["edition"],
            renew_by=date.fromisoformat(document["renew_by"]),
            source=document["source"],
        ),
        complete=document["complete"],
        groups=document["groups"],
    )


def list_checker(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    """Return the compiled schema of lists.

    Args:
        schema: The file ``schemas/list.schema.json``.
    """
    return compile_schema(orjson.loads(schema))


def stale(lists: ReferenceLists, *, today: date) -> list[str]:
    """Return the names of the lists that should have been renewed before ``today``."""
    return sorted(name for name, item in lists.items() if item.edition.renew_by < today)


def absent(lists: ReferenceLists, names: Iterable[str]) -> list[str]:
    """Return which of these lists are not there."""
    return sorted(set(names) - lists.keys())
