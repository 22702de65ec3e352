"""Building HTML so that nothing from outside is ever taken for markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Final

_EMPTY: Final = frozenset({"input", "link", "meta", "br", "hr"})


class Html(str):
    """Text that is markup already. Only `el` and `join` make it."""

    __slots__ = ()


Child = str | Html | None


def el(name: str, /, *children: Child, **attributes: str | bool | None) -> Html:
    """Return an element.

    Args:
        name: Its tag.
        *children: Texts, which are escaped, and elements, which are not; None is left out.
        **attributes: ``class_`` is written ``class``, ``data_search`` is ``data-search``;
            True is an attribute without a value, False and None leave it out.
    """
    opening = name + "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _EMPTY:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{join(children)}</{name}>")


def join(children: Iterable[Child], separator: str = "") -> Html:
    """Return texts and elements in a row, with an escaped separator between them."""
    return Html(escape(separator, quote=False).join(_text(child) for child in children if child is not None))


def link(target: str, *children: Child, class_: str | None = None) -> Html:
    """Return a link."""
    return el("a", *children, href=target, class_=class_)


def code(text: str) -> Html:
    """Return a name or value as it stands in messages."""
    return el("code", text)


def _text(child: str | Html) -> str:
    return str(child) if isinstance(child, Html) else escape(child, quote=False)
