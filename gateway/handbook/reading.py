"""What the handbook tells, gathered from the catalogue: which list, block, form and rule is used where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from gateway.core.message.registry import Catalogue, MessageType
from gateway.core.message.rules import RULES, Stage
from gateway.core.message.rules.definition import Rule
from gateway.core.message.schema_documents import HEADER_ID, SCHEMA_BASE, Schema, references, resolve

Json = dict[str, Any]

REPLY_TYPES: Final = "reply types"
"""How a rule says that it is about answers of any type."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """Everything the handbook is about.

    Attributes:
        catalogue: The types and the agreement.
        examples: A good message by type id, for the types that have one.
    """

    catalogue: Catalogue
    examples: Mapping[str, Json]

    @cached_property
    def documents(self) -> Mapping[str, Schema]:
        """Every schema document that any type uses, by its path without ``.json``, sorted."""
        found = {
            identifier.removeprefix(SCHEMA_BASE).removesuffix(".json"): document
            for message_type in self.catalogue.types.values()
            for identifier, document in message_type.documents.items()
        }
        return dict(sorted(found.items()))

    @cached_property
    def by_id(self) -> Mapping[str, Schema]:
        """The same documents by ``$id``."""
        return {document["$id"]: document for document in self.documents.values()}

    def in_folder(self, folder: str) -> dict[str, Schema]:
        """Return the documents of ``codes``, ``common`` or ``formats``, by file name."""
        return {
            path.removeprefix(f"{folder}/"): document
            for path, document in self.documents.items()
            if path.startswith(f"{folder}/")
        }

    @cached_property
    def header_blocks(self) -> tuple[str, ...]:
        """Blocks that only the header is made of, the header first, in the order of its fields."""
        header = self.in_folder("common")[_file_of(HEADER_ID)]
        names = [_file_of(HEADER_ID)]
        for target in _targets(header):
            if target.startswith("common/"):
                names.append(target.removeprefix("common/"))
                names += [
                    deeper.removeprefix("common/")
                    for deeper in _targets(self.documents[target])
                    if deeper.startswith("common/")
                ]
        return tuple(dict.fromkeys(names))

    @cached_property
    def users(self) -> Mapping[str, tuple[str, ...]]:
        """Paths of the documents that refer to a document, by its path; sorted."""
        users: dict[str, list[str]] = {path: [] for path in self.documents}
        for path, document in self.documents.items():
            for target in dict.fromkeys(_targets(document)):
                users[target].append(path)
        return {path: tuple(sorted(using)) for path, using in users.items()}

    def rules_of(self, message_type: MessageType) -> tuple[Rule, ...]:
        """Return the rules that a type brings: first its own, then those of its blocks and forms."""
        used = _below_payload(self, message_type)
        blocks = {path.removeprefix("common/") for path in used if path.startswith("common/")}
        formats = {path.removeprefix("formats/") for path in used if path.startswith("formats/")}
        own = tuple(rule for rule in RULES if _is_of_type(rule, message_type))
        return own + tuple(rule for rule in RULES if rule not in own and _is_of_parts(rule, blocks, formats))


GENERAL_RULES: Final = tuple(rule for rule in RULES if rule.applies_to == ("*",))
"""Rules that hold for every message."""


def rules_of_part(path: str) -> tuple[Rule, ...]:
    """Return the rules that follow a block or a form wherever a payload holds it.

    Args:
        path: Its path without ``.json``: ``common/person``, ``formats/iban``.
    """
    folder, _, name = path.rpartition("/")
    named = _parts_of if folder == "common" else _formats_of
    return tuple(rule for rule in RULES if name in named(rule))


def needs_conversation(rule: Rule) -> bool:
    """Tell whether a rule also looks at earlier messages."""
    return rule.stage is not Stage.STATELESS


def _is_of_type(rule: Rule, message_type: MessageType) -> bool:
    if message_type.id in rule.applies_to:
        return True
    terms = message_type.terms
    for group in rule.applies_to:
        if group.startswith(REPLY_TYPES) and terms.reply_to:
            return "=" not in group or "=" in terms.purposes
    return False


def _is_of_parts(rule: Rule, blocks: set[str], formats: set[str]) -> bool:
    if rule.applies_to == ("*",) and (rule.message_check is not None or rule.frame_check is not None):
        return False
    return not blocks.isdisjoint(_parts_of(rule)) or not formats.isdisjoint(_formats_of(rule))


def _parts_of(rule: Rule) -> set[str]:
    return {check.part for check in rule.part_checks} | {check.part for check in rule.coded_checks}


def _formats_of(rule: Rule) -> set[str]:
    return {check.format for check in rule.format_checks}


def _below_payload(subject: Subject, message_type: MessageType) -> set[str]:
    """Return the paths of all documents that the payload of a type uses."""
    identifier = message_type.schema["$id"]
    waiting = [
        _path_of(resolve(identifier, reference)[0])
        for reference in references(message_type.schema["properties"]["payload"])
    ]
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _targets(subject.documents[path])
    return found


def _targets(document: Schema) -> Iterator[str]:
    """Yield the paths of the documents that one refers to."""
    for reference in references(document):
        target, _ = resolve(document["$id"], reference)
        if target != document["$id"]:
            yield _path_of(target)


def _path_of(identifier: str) -> str:
    return identifier.removeprefix(SCHEMA_BASE).removesuffix(".json")


def _file_of(identifier: str) -> str:
    return _path_of(identifier).rpartition("/")[2]
