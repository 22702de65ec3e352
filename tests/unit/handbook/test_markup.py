from __future__ import annotations

import pytest

from gateway.handbook.markup import Html, code, el, join, link


@pytest.mark.parametrize("text", ["<script>", "a & b", '"quoted"', "it's"])
def test_text_is_never_taken_for_markup(text: str) -> None:
    assert "<script" not in el("p", text)
    assert str(el("p", text)).count("<") == 2


def test_an_attribute_cannot_be_left_by_its_value() -> None:
    assert el("a", href='x" onclick="y') == '<a href="x&quot; onclick=&quot;y"></a>'


def test_elements_stand_in_elements_as_they_are() -> None:
    assert el("p", el("b", "x"), " & ", code("<y>")) == "<p><b>x</b> &amp; <code>&lt;y&gt;</code></p>"


def test_attributes_are_written_as_html_has_them() -> None:
    made = el("input", class_="c", data_search="s", hidden=True, id=None, disabled=False)

    assert made == '<input class="c" data-search="s" hidden>'


def test_a_separator_stands_between_and_what_is_none_is_left_out() -> None:
    assert join(["a", None, el("b", "c")], " < ") == "a &lt; <b>c</b>"
    assert join([]) == ""


def test_what_is_made_is_markup_and_a_text_is_not() -> None:
    assert isinstance(link("x", "y"), Html)
    assert not isinstance("y", Html)
