"""The handbook as a set of pages, each made when it is asked for and then kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from gateway.core.message.registry import Catalogue
from gateway.core.message.strict_json import parse_json
from gateway.handbook.frame import SCRIPT, STYLE, choice, frame
from gateway.handbook.list_pages import (
    agreement_content,
    blocks_content,
    codes_content,
    formats_content,
    header_content,
    index_content,
    rules_content,
)
from gateway.handbook.markup import Html
from gateway.handbook.parts import type_file
from gateway.handbook.reading import Subject
from gateway.handbook.type_page import type_content
from gateway.handbook.words import Voice

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What a browser may do with the pages: read the one style sheet and the one script beside them."""

FIRST_PAGE: Final = "index.html"

_HTML: Final = "text/html; charset=utf-8"
_ASSETS: Final = {STYLE: "text/css; charset=utf-8", SCRIPT: "text/javascript; charset=utf-8"}
_VOICES: Final = (Voice("fr"), Voice("en"))
_LISTS: Final[Mapping[str, tuple[str, Callable[[Subject, Voice], Html]]]] = {
    FIRST_PAGE: ("handbook", index_content),
    "header.html": ("header", header_content),
    "blocks.html": ("blocks", blocks_content),
    "codes.html": ("codes", codes_content),
    "formats.html": ("formats", formats_content),
    "rules.html": ("rules", rules_content),
    "agreement.html": ("agreement", agreement_content),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One file of the handbook.

    Attributes:
        media_type: As HTTP names it.
        body: Its bytes.
        language: Of its text, or None.
    """

    media_type: str
    body: bytes
    language: str | None


class Handbook:
    """The pages of one catalogue."""

    def __init__(self, catalogue: Catalogue, folder: Path) -> None:
        """Take a catalogue and the folder whose examples illustrate it."""
        self._catalogue = catalogue
        self._folder = folder
        self._made: dict[str, Page] = {}

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Every file, relative to the top, with ``/`` as separator."""
        names = [*_LISTS, *map(type_file, self._catalogue.types)]
        return (FIRST_PAGE, *_ASSETS, *(f"{voice.language}/{name}" for voice in _VOICES for name in names))

    def page(self, path: str) -> Page | None:
        """Return a file, or None if there is none of that name.

        Anything may be asked for: a path is looked up, and never leads to a file of its own.
        """
        if path not in self._made:
            if path not in self.paths:
                return None
            self._made[path] = self._make(path)
        return self._made[path]

    def pages(self) -> Iterator[tuple[str, Page]]:
        """Yield every file with its path."""
        for path in self.paths:
            page = self.page(path)
            if page is not None:
                yield path, page

    @cached_property
    def _subject(self) -> Subject:
        return Subject(catalogue=self._catalogue, examples=read_examples(self._folder, self._catalogue))

    @cached_property
    def _types_by_file(self) -> Mapping[str, str]:
        return {type_file(type_id): type_id for type_id in self._catalogue.types}

    def _make(self, path: str) -> Page:
        if path in _ASSETS:
            body = (files("gateway.handbook") / "assets" / path).read_bytes()
            return Page(media_type=_ASSETS[path], body=body, language=None)
        folder, _, name = path.rpartition("/")
        if not folder:
            return Page(media_type=_HTML, body=choice(_VOICES), language=None)
        voice = next(voice for voice in _VOICES if voice.language == folder)
        if name in _LISTS:
            word, make = _LISTS[name]
            title, content = voice.word(word), make(self._subject, voice)
        else:
            item = self._catalogue.type(self._types_by_file[name])
            title, content = (
                f"{voice.say(item.wording)} ({item.id})",
                type_content(self._subject, voice, item),
            )
        body = frame(self._subject, voice, name, title=title, content=content)
        return Page(media_type=_HTML, body=body, language=voice.language)


def read_examples(folder: Path, catalogue: Catalogue) -> dict[str, dict[str, Any]]:
    """Return the first good example of each type that has one.

    Args:
        folder: A folder laid out like ``schemas/``.
        catalogue: The catalogue of that folder.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*/examples/valid-*.json")):
        document = parse_json(path.read_bytes())
        type_id = document.get("type")
        if catalogue.find(type_id) is not None:
            found.setdefault(str(type_id), document)
    return found
