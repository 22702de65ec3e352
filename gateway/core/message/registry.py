"""The catalogue: every message type, its schema and terms, and the agreement.

A folder of JSON files becomes values that need no further checks: the JSON Schemas of all types
are compiled, each type has its terms parsed, and a digest over every file that decides about a
message of that type. Nodes exchange these digests in the log; types whose digests are
equal on both sides flow.

Nothing is fetched: a reference that no given file satisfies refuses the catalogue.

Spec: docs/spec/messages.md, "The catalogue as files".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import jsonschema_rs
import orjson

from gateway.core.message.agreement import Agreement, build_agreement
from gateway.core.message.compiled import DIALECT, SharedSchema, compile_schema
from gateway.core.message.schema_documents import HEADER_ID, SCHEMA_BASE, bundle, references, resolve
from gateway.core.message.terms import ReplyDeadline, TypeTerms, build_terms
from gateway.core.message.wording import Language, Wording
from gateway.errors import OperatorError, RejectedError

__all__ = [
    "SCHEMA_BASE",
    "Agreement",
    "Catalogue",
    "CatalogueError",
    "MessageType",
    "ReplyDeadline",
    "TypeTerms",
    "UnknownTypeError",
]

LISTS_FOLDER: Final = "lists/"
"""Holds the reference lists, which warn, age, and belong to no digest."""

_TYPE_FILE: Final = re.compile(r"([a-z][a-z0-9]*\.[a-z][a-z0-9_]*)/([1-9][0-9]*)\.json")
_TABLE_FILE: Final = re.compile(r"tables/([a-z0-9_]+)\.json")


class CatalogueError(OperatorError):
    """The catalogue's files contradict each other or cannot be read; the text names the file."""

    code = "catalogue-invalid"


class UnknownTypeError(RejectedError):
    """The catalogue of this node has no such message type."""

    code = "unknown-type"


@dataclass(frozen=True, kw_only=True, eq=False)
class MessageType:
    """One message type in one version.

    Attributes:
        id: Name and major version: ``target.cargo_referral/1``.
        wording: Title in both languages.
        description: What the type is for, in both languages.
        schema: The type's own JSON Schema document, with references to the others.
        documents: Every schema document it needs, itself included, by ``$id``.
        terms: When such a message may be sent.
        files: Paths below ``schemas/`` of every file that decides about it, sorted.
        digest: SHA-384 over those files, 48 bytes.
    """

    id: str
    wording: Wording
    description: Wording
    schema: Mapping[str, Any]
    documents: Mapping[str, Mapping[str, Any]]
    terms: TypeTerms
    files: tuple[str, ...]
    digest: bytes

    def title(self, language: Language) -> str:
        """Return the title of the type."""
        return self.wording.text(language)

    @cached_property
    def bundled(self) -> dict[str, Any]:
        """The whole schema as one self-contained JSON Schema 2020-12 document."""
        return bundle(self.schema, self.documents)


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalogue:
    """Every message type this node knows, and the agreement they are sent under.

    Attributes:
        types: Types by id, in the order of their ids.
        agreement: The agreement.
        shared: The schemas of all types, compiled together.
        digest: SHA-384 over the digests of all types, 48 bytes. Two nodes with the same
            digest decide alike on every message.
        files: Content of its files, by path below ``schemas/``.
    """

    types: Mapping[str, MessageType]
    agreement: Agreement
    shared: SharedSchema
    digest: bytes
    files: Mapping[str, bytes]

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Catalogue:
        """Read a catalogue from the files of its folder.

        Args:
            files: Content by path below ``schemas/``, with ``/`` as separator. Files that
                are no JSON, examples and reference lists are ignored.

        Raises:
            CatalogueError: A file is missing, unreadable, not valid JSON Schema, or
                contradicts another one.

        Spec: docs/spec/messages.md, "The catalogue as files".
        """
        return _Reader(files).read()

    def find(self, type_id: object) -> MessageType | None:
        """Return the type of this id, or None. Anything may be asked for."""
        return self.types.get(type_id) if isinstance(type_id, str) else None

    def type(self, type_id: str) -> MessageType:
        """Return the type of this id.

        Raises:
            UnknownTypeError: There is none.
        """
        found = self.find(type_id)
        if found is None:
            msg = "this message type is not in the catalogue"
            raise UnknownTypeError(msg)
        return found


class _Reader:
    """Reads one set of files; lives for one call of ``Catalogue.from_files``."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = {
            path: content
            for path, content in files.items()
            if path.endswith(".json") and "/examples/" not in path and not path.startswith(LISTS_FOLDER)
        }
        self._parsed = {path: _parse(path, content) for path, content in self._files.items()}
        self._documents: dict[str, Mapping[str, Any]] = {}
        for path, document in self._parsed.items():
            if "$id" not in document:
                continue
            if document["$id"] != SCHEMA_BASE + path or document.get("$schema") != DIALECT:
                msg = f"{path}: $id must be {SCHEMA_BASE}{path} and $schema {DIALECT}"
                raise CatalogueError(msg)
            self._documents[document["$id"]] = document

    def read(self) -> Catalogue:
        paths = {
            f"{match[1]}/{match[2]}": path
            for path in sorted(self._files)
            if (match := _TYPE_FILE.fullmatch(path)) is not None
        }
        agreement = self._read_agreement(frozenset(paths))
        terms_checker = self._checker("terms.schema.json")
        types = {type_id: self._read_type(type_id, path, terms_checker) for type_id, path in paths.items()}
        if not types:
            msg = "the catalogue holds no message type"
            raise CatalogueError(msg)
        for message_type in types.values():
            self._verify_terms(message_type, types, agreement)
        lines = "".join(f"{types[type_id].digest.hex()}  {type_id}\n" for type_id in sorted(types))
        return Catalogue(
            types=MappingProxyType(types),
            agreement=agreement,
            shared=SharedSchema(
                {type_id: message_type.schema for type_id, message_type in types.items()}, self._documents
            ),
            digest=hashlib.sha384(lines.encode()).digest(),
            files=MappingProxyType(self._files),
        )

    def _read_agreement(self, type_ids: frozenset[str]) -> Agreement:
        document = self._document("agreement.json")
        _refuse_invalid("agreement.json", document, self._checker("agreement.schema.json"))
        tables = {
            match[1]: parsed.get("values")
            for path, parsed in self._parsed.items()
            if (match := _TABLE_FILE.fullmatch(path)) is not None
        }
        for name in ("iso2", "iso3", "eu", "currency", "iban_len", "fentanyls"):
            if not tables.get(name):
                msg = f"tables/{name}.json is missing or has no values"
                raise CatalogueError(msg)
        return build_agreement(document, tables, type_ids)

    def _read_type(
        self, type_id: str, path: str, terms_checker: jsonschema_rs.Draft202012Validator
    ) -> MessageType:
        schema = self._document(path)
        terms_path = path.removesuffix(".json") + ".terms.json"
        terms = self._document(terms_path)
        _refuse_invalid(terms_path, terms, terms_checker)
        named = schema.get("properties", {}).get("type", {}).get("const")
        if named != type_id or terms["type"] != type_id:
            msg = f"{path} and {terms_path} must name the type {type_id}"
            raise CatalogueError(msg)
        documents = self._closure(schema)
        header = schema["properties"].get("header", {})
        if resolve(schema["$id"], header.get("$ref", "")) != (HEADER_ID, ""):
            msg = f"{path}: header must be the common header"
            raise CatalogueError(msg)
        deciding = {identifier.removeprefix(SCHEMA_BASE) for identifier in documents}
        deciding |= {terms_path, "agreement.json"}
        deciding |= {file for file in self._files if _TABLE_FILE.fullmatch(file)}
        files = tuple(sorted(deciding))
        # By itself, so that what is refused can be named; what is kept is compiled with the others.
        self._compile(path, bundle(schema, documents))
        return MessageType(
            id=type_id,
            wording=_wording(path, schema, "title"),
            description=_wording(path, schema, "description"),
            schema=schema,
            documents=MappingProxyType(documents),
            terms=build_terms(terms),
            files=files,
            digest=self._digest(files),
        )

    def _digest(self, files: tuple[str, ...]) -> bytes:
        """Hash the lines ``sha384sum`` prints for these files: anyone can repeat it."""
        lines = "".join(f"{hashlib.sha384(self._files[path]).hexdigest()}  {path}\n" for path in files)
        return hashlib.sha384(lines.encode()).digest()

    def _closure(self, schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return every document that ``schema`` needs, itself included, by ``$id``."""
        found: dict[str, Mapping[str, Any]] = {}
        waiting = [schema]
        while waiting:
            document = waiting.pop()
            identifier = document["$id"]
            if identifier in found:
                continue
            found[identifier] = document
            for reference in references(document):
                target, _ = resolve(identifier, reference)
                if target not in self._documents:
                    path = identifier.removeprefix(SCHEMA_BASE)
                    msg = f"{path}: no file for the reference {reference}"
                    raise CatalogueError(msg)
                waiting.append(self._documents[target])
        return found

    def _verify_terms(
        self, message_type: MessageType, types: Mapping[str, MessageType], agreement: Agreement
    ) -> None:
        """Refuse terms that name unknown agencies or shut out those who have to answer."""
        terms = message_type.terms
        for nation, agencies in terms.agencies.items():
            strangers = [code for code in agencies if agreement.agency_nation.get(code) != nation]
            if strangers:
                msg = f"{message_type.id}: {', '.join(sorted(strangers))} is no agency of {nation}"
                raise CatalogueError(msg)
        # Who may receive a type may send every answer that its terms name.
        for reply_id in terms.replies:
            reply = types.get(reply_id)
            if reply is None:
                continue
            for nation, agencies in terms.agencies.items():
                if not agencies <= reply.terms.agencies[nation]:
                    msg = f"{reply_id} must be open to every {nation} agency of {message_type.id}"
                    raise CatalogueError(msg)

    def _document(self, path: str) -> dict[str, Any]:
        document = self._parsed.get(path)
        if document is None:
            msg = f"{path} is missing from the catalogue"
            raise CatalogueError(msg)
        return document

    def _checker(self, path: str) -> jsonschema_rs.Draft202012Validator:
        """Return the compiled schema of another catalogue file."""
        document = self._document(path)
        return self._compile(path, bundle(document, self._closure(document)))

    def _compile(self, path: str, schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
        try:
            return compile_schema(schema)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            msg = f"{path} is no usable JSON Schema 2020-12"
            raise CatalogueError(msg) from error


def _parse(path: str, content: bytes) -> dict[str, Any]:
    """Return the object a catalogue file holds."""
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        msg = f"{path} is no JSON: {error}"
        raise CatalogueError(msg) from error
    if not isinstance(document, dict):
        msg = f"{path} must hold a JSON object"
        raise CatalogueError(msg)
    return document


def _wording(path: str, schema: Mapping[str, Any], keyword: str) -> Wording:
    """Return title or description of a type; both languages are required."""
    try:
        return Wording(en=schema[keyword], fr=schema[f"x-{keyword}-fr"])
    except KeyError as error:
        msg = f"{path}: {keyword} and x-{keyword}-fr are required"
        raise CatalogueError(msg) from error


def _refuse_invalid(
    path: str, document: Mapping[str, Any], checker: jsonschema_rs.Draft202012Validator
) -> None:
    """Refuse a catalogue file that its own schema refuses, naming the first place."""
    for error in checker.iter_errors(document):
        place = "".join(f"/{step}" for step in error.instance_path)
        msg = f"{path}: {error.schema_path[-1]} at {place or '/'}"
        raise CatalogueError(msg)
