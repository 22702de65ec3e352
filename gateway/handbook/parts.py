"""Pieces that several pages are made of: links to everything, forms of fields, tables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.core.message.schema_documents import SCHEMA_BASE, Schema, follow
from gateway.handbook.markup import Html, code, el, join, link
from gateway.handbook.reading import Subject
from gateway.handbook.words import Voice

_MOST_CODES_IN_A_ROW: Final = 24


def type_file(type_id: str) -> str:
    """Return the page of a type: ``assist.request/1`` is ``assist.request-1.html``."""
    return type_id.replace("/", "-") + ".html"


def document_link(subject: Subject, voice: Voice, path: str) -> Html:
    """Return a link to where the handbook shows a document of the catalogue.

    Args:
        subject: The catalogue.
        voice: Language of the link.
        path: Its path without ``.json``, such as ``codes/area`` or ``assist.request/1``.
    """
    folder, _, name = path.rpartition("/")
    if folder not in ("codes", "common", "formats"):
        return type_link(subject, voice, path)
    title = voice.title(subject.documents[path])
    return link(f"{page_of(subject, folder, name)}#{name}", title)


def page_of(subject: Subject, folder: str, name: str) -> str:
    """Return the page that shows a code list, block or form."""
    if folder == "common":
        return "header.html" if name in subject.header_blocks else "blocks.html"
    return f"{folder}.html"


def type_link(subject: Subject, voice: Voice, type_id: str) -> Html:
    """Return a link to a type with its title; its id alone where there is no such type yet."""
    found = subject.catalogue.find(type_id)
    if found is None:
        return code(type_id)
    return link(type_file(type_id), el("span", voice.say(found.wording)), " ", code(type_id), class_="type")


def code_chip(subject: Subject, voice: Voice, list_name: str, value: str, *, linked: bool = True) -> Html:
    """Return a code with what it means, linked to its list."""
    labels = subject.documents[f"codes/{list_name}"]["x-labels"]
    meaning = voice.label(labels, value)
    if not linked:
        return el("span", code(value), " ", el("small", meaning), class_="chip")
    return el("a", code(value), " ", el("small", meaning), class_="chip", href=f"codes.html#{list_name}")


def describe_form(subject: Subject, voice: Voice, identifier: str, field: Schema) -> Html:
    """Return how a value is written, with links to what it is made of.

    Args:
        subject: The catalogue.
        voice: Language.
        identifier: ``$id`` of the document that holds the field.
        field: Its description there.
    """
    longest = int(field.get("maxLength", 0))
    while "$ref" in field:
        identifier, field = follow(subject.by_id, identifier, field["$ref"])
        folder, _, name = identifier.removeprefix(SCHEMA_BASE).removesuffix(".json").rpartition("/")
        if name == "text":
            return el("span", voice.word("text_up_to", count=group_digits(longest, voice)))
        if folder == "codes":
            return _code_form(subject, voice, name, field)
        if folder in ("common", "formats"):
            return document_link(subject, voice, f"{folder}/{name}")
    return _plain_form(subject, voice, identifier, field)


def _code_form(subject: Subject, voice: Voice, name: str, document: Schema) -> Html:
    """Return a link to a code list, with the codes themselves where they are few."""
    values = document["enum"]
    heading = document_link(subject, voice, f"codes/{name}")
    if len(values) > _MOST_CODES_IN_A_ROW:
        return heading
    return join(
        [
            heading,
            el(
                "span",
                join(
                    (el("code", value, title=voice.label(document["x-labels"], value)) for value in values),
                    " ",
                ),
                class_="codes",
            ),
        ]
    )


def _plain_form(subject: Subject, voice: Voice, identifier: str, field: Schema) -> Html:
    if "const" in field:
        return el("span", voice.word("always", value=json.dumps(field["const"])))
    kind = field.get("type")
    if kind == "array":
        entries = describe_form(subject, voice, identifier, field["items"])
        word = "list_of_different" if field.get("uniqueItems") else "list_of"
        bounds = voice.word(word, low=field.get("minItems", 0), high=field["maxItems"])
        return join([el("span", bounds), " ", entries])
    if kind == "integer":
        low, high = (group_digits(field[bound], voice) for bound in ("minimum", "maximum"))
        return el("span", voice.word("integer_from", low=low, high=high))
    if kind == "boolean":
        return el("span", voice.word("true_or_false"))
    before, _, after = voice.word("of_the_form", form="\0").partition("\0")
    return join([before, code(str(field.get("pattern", ""))), after])


def group_digits(number: int, voice: Voice) -> str:
    """Return a number as people of a language read it."""
    return f"{number:,}".replace(",", "\u202f" if voice.language == "fr" else ",")


def field_table(subject: Subject, voice: Voice, identifier: str, holder: Schema) -> Html:
    """Return the table of an object's fields."""
    required = set(holder.get("required", ()))
    rows = [
        el(
            "tr",
            el(
                "th",
                code(name),
                _need(voice, is_required=name in required, field=field),
                scope="row",
            ),
            el(
                "td",
                el("strong", title_of(subject, voice, identifier, field)),
                " ",
                described(subject, voice, identifier, field),
                _sample(voice, field),
            ),
            el("td", describe_form(subject, voice, identifier, field)),
            id=f"{field_anchor(identifier)}.{name}",
        )
        for name, field in holder["properties"].items()
    ]
    heads = el("tr", *(el("th", voice.word(name), scope="col") for name in ("field", "meaning", "form")))
    return el("div", el("table", el("thead", heads), el("tbody", *rows), class_="fields"), class_="wide")


def _need(voice: Voice, *, is_required: bool, field: Schema) -> Html:
    """Return whether a field has to be there; its description says in which cases a rule demands it."""
    if is_required:
        return el("span", voice.word("required"), class_="need")
    at_times = re.search(r"\brequired\b", field.get("description", "")) is not None
    return el("span", voice.word("at_times" if at_times else "optional"), class_="may")


def field_anchor(identifier: str) -> str:
    """Return the anchor of a document's fields: the name of its file, or ``payload`` of a type."""
    folder, _, name = identifier.removeprefix(SCHEMA_BASE).removesuffix(".json").rpartition("/")
    return name if folder == "common" else "payload"


def title_of(subject: Subject, voice: Voice, identifier: str, field: Schema) -> str:
    """Return the title of a field: its own, or that of what it holds."""
    return voice.title(field) or voice.title(_held(subject, identifier, field))


def described(subject: Subject, voice: Voice, identifier: str, field: Schema) -> str:
    """Return the description of a field: its own, or that of what it holds."""
    return voice.description(field) or voice.description(_held(subject, identifier, field))


def _held(subject: Subject, identifier: str, field: Schema) -> Schema:
    return follow(subject.by_id, identifier, field["$ref"])[1] if "$ref" in field else field


def _sample(voice: Voice, field: Schema) -> Html | None:
    samples = field.get("examples", ())
    if not samples:
        return None
    text = samples[0] if isinstance(samples[0], str) else json.dumps(samples[0], ensure_ascii=False)
    return el("span", voice.word("sample"), " ", code(text), class_="sample")


def facts(rows: Iterable[tuple[str, Html | str | None]]) -> Html:
    """Return a list of names and what they are; rows without content are left out."""
    return el(
        "dl",
        *(
            el("div", el("dt", name), el("dd", content), class_="fact")
            for name, content in rows
            if content is not None
        ),
        class_="facts",
    )


def bullets(items: Sequence[Html | str], class_: str | None = None) -> Html:
    """Return a list of items."""
    return el("ul", *(el("li", item) for item in items), class_=class_)


def json_text(value: Any) -> Html:
    """Return a JSON value as people read it, names set apart from values."""
    return el("pre", el("code", _json(value, 0)), class_="json")


def _json(value: Any, depth: int) -> Html:
    pad, inner = "  " * depth, "  " * (depth + 1)
    if isinstance(value, Mapping) and value:
        lines = [
            join([inner, el("b", json.dumps(name, ensure_ascii=False)), ": ", _json(item, depth + 1)])
            for name, item in value.items()
        ]
        return join(["{\n", join(lines, ",\n"), f"\n{pad}}}"])
    if isinstance(value, list) and value:
        flat = json.dumps(value, ensure_ascii=False)
        if len(flat) + len(inner) <= 90 and not any(isinstance(item, dict | list) for item in value):
            return join([flat])
        lines = [join([inner, _json(item, depth + 1)]) for item in value]
        return join(["[\n", join(lines, ",\n"), f"\n{pad}]"])
    return join([json.dumps(value, ensure_ascii=False)])
