"""Drafts that explain themselves: JSON with a comment above each field.

JSON knows no comments, and a node reads strict JSON. So comments stand in files whose name
ends in ``.jsonc``, each on lines of its own that begin with ``//``; the commands that read
such a file leave these lines out. No text of JSON can begin a line with them, since a line
feed inside a text is written as an escape.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import typer

from gateway.core.message.registry import MessageType
from gateway.core.message.schema_documents import Place, Schema, place_of
from gateway.core.message.wording import Language, Wording

STDIN: Final = "-"
"""Name of standard input among files."""

SUFFIX: Final = ".jsonc"
"""End of the name of a file that may hold comments."""

_COMMENT: Final = "// "
_INDENT: Final = "  "
_WIDTH: Final = 110

_REQUIRED: Final = Wording(en="required", fr="obligatoire")
_ONE_OF: Final = Wording(en="One of", fr="L'une des valeurs")
_NOT_HERE: Final = Wording(
    en="Left out here, because it is optional or the node fills it in:",
    fr="Omis ici, car facultatif ou rempli par le nœud :",
)


def read_file(name: str) -> bytes:
    """Return what stands in a file, or in standard input, without comments if it may hold some.

    Raises:
        typer.Exit: It cannot be read, which was said on standard error.
    """
    if name == STDIN:
        return sys.stdin.buffer.read()
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        typer.echo(f"{name} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    return without_comments(content) if name.endswith(SUFFIX) else content


def without_comments(content: bytes) -> bytes:
    """Return a text without its comments; lines keep their numbers."""
    return b"\n".join(
        b"" if line.lstrip().startswith(_COMMENT.strip().encode()) else line for line in content.split(b"\n")
    )


def commented(document: Mapping[str, Any], message_type: MessageType, language: Language) -> bytes:
    """Return a document as people edit it, with a comment above each field that the schema describes.

    A field that the document leaves out is named in a comment as well.

    Args:
        document: A draft of the type.
        message_type: Its type.
        language: Language of the comments.
    """
    writer = _Writer(message_type.documents, language)
    place = place_of(message_type.documents, message_type.schema["$id"], message_type.schema)
    about = Wording(
        en=f"{message_type.title('en')}: {message_type.description.en}",
        fr=f"{message_type.title('fr')} : {message_type.description.fr}",
    )
    lines = [*writer.comment(about.text(language), ""), *writer.value(document, place, "")]
    return "\n".join(lines).encode() + b"\n"


class _Writer:
    """Writes values with their schemas beside them."""

    def __init__(self, documents: Mapping[str, Schema], language: Language) -> None:
        self._documents = documents
        self._language = language

    def comment(self, text: str, indent: str) -> list[str]:
        """Return a text as lines of comment."""
        start = indent + _COMMENT
        return textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=start,
            subsequent_indent=start + _INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )

    def value(self, value: Any, place: Place | None, indent: str) -> list[str]:
        """Return the lines of a value; without a place, no comments."""
        if isinstance(value, dict) and value:
            return ["{", *self._fields(value, place, indent + _INDENT), indent + "}"]
        if isinstance(value, list) and value:
            return ["[", *self._entries(value, place, indent + _INDENT), indent + "]"]
        return [orjson.dumps(value).decode()]

    def _fields(self, value: Mapping[str, Any], place: Place | None, indent: str) -> Iterator[str]:
        known: Mapping[str, Schema] = (place.fact("properties") if place is not None else None) or {}
        required = (place.fact("required") if place is not None else None) or ()
        for number, (name, held) in enumerate(value.items(), start=1):
            child = None
            if place is not None and name in known:
                child = place_of(self._documents, place.identifier, known[name])
                yield from self.comment(self._about(child, is_required=name in required), indent)
            first, *more = self.value(held, child, indent)
            lines = [f"{indent}{orjson.dumps(name).decode()}: {first}", *more]
            yield from (*lines[:-1], lines[-1] + ("," if number < len(value) else ""))
        absent = [name for name in known if name not in value]
        if place is None or not absent:
            return
        yield from self.comment(_NOT_HERE.text(self._language), indent)
        for name in absent:
            child = place_of(self._documents, place.identifier, known[name])
            about = self._about(child, is_required=False)
            yield from self.comment(f'"{name}": {about}', indent)

    def _entries(self, value: list[Any], place: Place | None, indent: str) -> Iterator[str]:
        child = None if place is None else self._entry_of(place)
        for number, held in enumerate(value, start=1):
            # What the first entry explained holds for all of them.
            first, *more = self.value(held, child if number == 1 else None, indent)
            lines = [indent + first, *more]
            yield from (*lines[:-1], lines[-1] + ("," if number < len(value) else ""))

    def _about(self, place: Place, *, is_required: bool) -> str:
        """Say what a field is: title, whether it has to be there, description, codes."""
        french = self._language == "fr"
        title = place.fact("x-title-fr" if french else "title")
        description = place.fact("x-description-fr" if french else "description")
        needed = f" ({_REQUIRED.text(self._language)})" if is_required else ""
        space = " " if french else ""
        return f"{title}{needed}{space}: {description or ''}{self._codes(place, space)}".rstrip(" :")

    def _entry_of(self, place: Place) -> Place | None:
        """Return what the schema says of the entries of a list, or None if it is none."""
        items: Schema | None = place.fact("items")
        return None if items is None else place_of(self._documents, place.identifier, items)

    def _codes(self, place: Place, space: str) -> str:
        """Name the codes of a field, or of the entries of a list."""
        coded = self._entry_of(place) or place
        codes, labels = coded.fact("enum"), coded.fact("x-labels")
        if codes is None or labels is None:
            return ""
        named = f"{space}; ".join(f"{code} = {labels[code][self._language]}" for code in codes)
        return f" {_ONE_OF.text(self._language)}{space}: {named}."
