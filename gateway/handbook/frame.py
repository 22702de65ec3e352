"""The page around every content: head, navigation, the same page in the other language."""

from __future__ import annotations

from typing import Final

from gateway.handbook.markup import Child, Html, code, el, join, link
from gateway.handbook.reading import Subject
from gateway.handbook.words import Voice

STYLE: Final = "handbook.css"
SCRIPT: Final = "handbook.js"

PAGES: Final = (
    ("index.html", "types"),
    ("header.html", "header"),
    ("blocks.html", "blocks"),
    ("codes.html", "codes"),
    ("formats.html", "formats"),
    ("rules.html", "rules"),
    ("agreement.html", "agreement"),
)
"""Pages of the navigation, each with the word for it."""


def frame(subject: Subject, voice: Voice, file: str, *, title: str, content: Html) -> bytes:
    """Return a whole page.

    Args:
        subject: The catalogue.
        voice: Language of the page.
        file: Its name within the folder of its language.
        title: Its title.
        content: What stands in it, from its heading on.
    """
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{title} · {voice.word('entente')}"),
        el("link", rel="stylesheet", href=f"../{STYLE}"),
        el("script", src=f"../{SCRIPT}", defer=True),
    )
    other = voice.other.language
    menu = (
        el("a", voice.word(word), href=target, aria_current="page" if target == file else None)
        for target, word in PAGES
    )
    body = el(
        "body",
        el("a", voice.word("skip"), href="#content", class_="skip"),
        el(
            "header",
            el(
                "a",
                el("strong", voice.word("entente")),
                " ",
                voice.word("handbook"),
                href="index.html",
                class_="home",
            ),
            el("nav", *menu, aria_label=voice.word("handbook")),
            el(
                "a",
                voice.word("language"),
                href=f"../{other}/{file}",
                hreflang=other,
                lang=other,
                class_="language",
            ),
        ),
        el("main", content, id="content"),
        el("footer", voice.word("digest"), " ", code(subject.catalogue.digest.hex()[:16])),
    )
    return document(voice.language, head, body)


def choice(voices: tuple[Voice, ...]) -> bytes:
    """Return the page that stands above the languages."""
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", "Entente"),
        el("link", rel="stylesheet", href=STYLE),
    )
    ways = (
        el(
            "p",
            link(f"{voice.language}/index.html", voice.word("handbook")),
            " ",
            el("small", voice.other.word("language")),
            lang=voice.language,
        )
        for voice in voices
    )
    return document("en", head, el("body", el("main", el("h1", "Entente"), *ways, id="content")))


def document(language: str, *parts: Child) -> bytes:
    """Return a complete HTML document in UTF-8."""
    return b"<!doctype html>\n" + join([el("html", *parts, lang=language), "\n"]).encode()
