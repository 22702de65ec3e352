"""The handbook of the real catalogue: whole, linked, in two languages, and harmless."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from gateway.core.message.registry import Catalogue
from gateway.core.message.rules import RULES
from gateway.handbook import FIRST_PAGE, Handbook
from gateway.handbook.parts import type_file
from gateway.handbook.reading import GENERAL_RULES

EMPTY = {"meta", "link", "input", "br", "hr"}


class Reader(HTMLParser):
    """Reads one page: its links, anchors and text; complains about what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.loaded: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert len(values) == len(attrs), "an attribute is given twice"
        self.tags.append((tag, values))
        if tag not in EMPTY:
            self._open.append(tag)
        if (anchor := values.get("id")) is not None:
            self.anchors.append(anchor)
        if tag == "a":
            self.links.append(str(values["href"]))
        elif tag in ("link", "script"):
            self.loaded.append(str(values.get("href", values.get("src"))))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def html_pages(book: Handbook) -> Iterator[tuple[str, str]]:
    for path, page in book.pages():
        if path.endswith(".html"):
            yield path, page.body.decode()


@pytest.fixture(scope="module")
def pages(book: Handbook) -> dict[str, Reader]:
    return {path: Reader(text) for path, text in html_pages(book)}


def test_both_languages_have_the_same_pages(book: Handbook, catalogue: Catalogue) -> None:
    by_language = [
        {path.partition("/")[2] for path in book.paths if path.startswith(language)}
        for language in ("en/", "fr/")
    ]

    assert by_language[0] == by_language[1]
    assert {type_file(type_id) for type_id in catalogue.types} < by_language[0]


def test_every_link_leads_somewhere(book: Handbook, pages: dict[str, Reader]) -> None:
    for path, reader in pages.items():
        for target in reader.links + reader.loaded:
            file, _, anchor = target.partition("#")
            place = posixpath.normpath(posixpath.join(posixpath.dirname(path), file)) if file else path
            assert place in book.paths, f"{path}: {target}"
            if anchor:
                assert anchor in pages[place].anchors, f"{path}: {target}"


def test_no_anchor_stands_twice_on_a_page(pages: dict[str, Reader]) -> None:
    for path, reader in pages.items():
        assert len(set(reader.anchors)) == len(reader.anchors), path


def test_pages_load_nothing_from_elsewhere_and_hold_no_script(book: Handbook) -> None:
    """What the content security policy forbids is not there either."""
    for path, text in html_pages(book):
        reader = Reader(text)
        assert all(re.fullmatch(r"(\.\./)?handbook\.(css|js)", item) for item in reader.loaded), path
        for tag, attributes in reader.tags:
            assert not any(name.startswith("on") or name == "style" for name in attributes), path
            assert tag not in ("style", "iframe", "img", "object", "form"), path
        assert re.search(r"<script(?![^>]* src=)[^>]*>", text) is None, path


def test_a_page_says_its_language_and_offers_the_other(pages: dict[str, Reader]) -> None:
    for path, reader in pages.items():
        language, _, file = path.partition("/")
        if not file:
            continue
        assert reader.tags[0] == ("html", {"lang": language})
        other = "en" if language == "fr" else "fr"
        assert f"../{other}/{file}" in reader.links


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_type_s_page_tells_all_that_the_catalogue_says(
    language: str, catalogue: Catalogue, pages: dict[str, Reader]
) -> None:
    for item in catalogue.types.values():
        reader = pages[f"{language}/{type_file(item.id)}"]
        told = re.sub(r"[\u00a0\u202f]", " ", reader.text).replace("’", "'")
        spoken = [item.wording, item.description, *item.terms.replies.values()]
        for wording in spoken:
            assert (wording.fr if language == "fr" else wording.en) in told, item.id
        payload = item.schema["properties"]["payload"]
        assert {f"payload.{name}" for name in payload["properties"]} <= set(reader.anchors)
        for agencies in item.terms.agencies.values():
            assert all(agency in told for agency in agencies)
        assert str(item.terms.keep_days) in told
        assert item.digest.hex() in told


def test_types_that_answer_each_other_link_to_each_other(
    catalogue: Catalogue, pages: dict[str, Reader]
) -> None:
    for item in catalogue.types.values():
        links = pages[f"en/{type_file(item.id)}"].links
        for other in (*item.terms.replies, *item.terms.reply_to):
            assert (type_file(other) in links) == (catalogue.find(other) is not None)


def test_code_lists_and_blocks_link_back_to_who_uses_them(
    catalogue: Catalogue, pages: dict[str, Reader]
) -> None:
    codes, blocks = pages["fr/codes.html"], pages["fr/blocks.html"]

    assert type_file("assist.request/1") in codes.links
    assert type_file("assist.request/1") in blocks.links
    assert "blocks.html#account" in codes.links
    assert "header.html#marking" in codes.links
    assert all(code in codes.text for code in catalogue.agreement.agency_names)


@pytest.mark.parametrize(
    ("type_id", "its_own", "not_its_own"),
    [
        (
            "target.cargo_referral/1",
            {"ID-ISO6346", "CX-GOODS", "CX-ACTBEFORE", "ID-LEI"},
            {"CX-PAX", "ID-ABA"},
        ),
        ("assist.reply/1", {"CX-REPLY", "PU-04", "RF-OPEN", "RF-PARTY"}, {"CX-ACK", "CX-ALERT"}),
        ("gov.consent_request/1", {"CX-CONSENT", "ID-ISO3166"}, {"RF-PARTY", "CX-EVENT"}),
        ("event.bulletin/1", {"CX-EVENT", "CX-POS", "ID-LOCODE"}, {"CX-CONSENT", "ID-IBAN"}),
    ],
)
def test_a_type_s_page_names_the_rules_that_it_brings(
    type_id: str, its_own: set[str], not_its_own: set[str], pages: dict[str, Reader]
) -> None:
    named = {target.partition("#")[2] for target in pages[f"en/{type_file(type_id)}"].links}

    assert its_own <= named
    assert not_its_own.isdisjoint(named)
    assert "H-01" not in named  # those of every message are one link away


def test_a_type_s_own_rules_come_before_those_of_its_parts(pages: dict[str, Reader]) -> None:
    named = [target for target in pages["fr/gov.consent_request-1.html"].links if "rules.html#" in target]

    assert named.index("rules.html#CX-CONSENT") < named.index("rules.html#ID-ISO3166")
    assert named[-1] == "rules.html#ID-ISO3166"


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("en/invest.controlled_delivery_request-1.html", "48 h; at the latest 12 h before window_from"),
        ("fr/invest.controlled_delivery_request-1.html", "48 h\u202f; au plus tard 12 h avant window_from"),
        ("en/alert.urgent-1.html", "at the latest act_before"),
    ],
)
def test_a_deadline_is_told_with_its_margin(book: Handbook, page: str, said: str) -> None:
    found = book.page(page)
    assert found is not None
    assert said in found.body.decode()


def test_blocks_and_forms_name_the_rules_that_follow_them(pages: dict[str, Reader]) -> None:
    blocks, forms = pages["en/blocks.html"].links, pages["en/formats.html"].links

    assert {"rules.html#CX-ACCOUNT", "rules.html#DP-01", "rules.html#ID-MRZ"} <= set(blocks)
    assert {"rules.html#ID-IBAN", "rules.html#ID-ISO3166"} <= set(forms)
    assert "rules.html#CX-CONSENT" not in blocks + forms


@pytest.mark.parametrize(
    ("field", "need"),
    [("target", "required"), ("recipient", "required in some cases"), ("until", "optional")],
)
def test_a_field_says_whether_it_has_to_be_there(field: str, need: str, book: Handbook) -> None:
    page = book.page("en/gov.consent_request-1.html")
    assert page is not None

    assert re.search(rf"<code>{field}</code><span[^>]*>{need}</span>", page.body.decode())


def test_every_rule_stands_on_the_page_of_rules(pages: dict[str, Reader]) -> None:
    assert {rule.id for rule in RULES} <= set(pages["fr/rules.html"].anchors)
    assert {"JSON", "H-01", "DP-03"} <= {rule.id for rule in GENERAL_RULES}


def test_an_example_is_shown_whole_and_between_its_banners(book: Handbook, catalogue: Catalogue) -> None:
    page = book.page("en/gov.retraction-1.html")
    assert page is not None
    text = page.body.decode()

    assert text.count("CUI//LEI//REL TO USA, FRA") == 2
    assert catalogue.type("gov.retraction/1").title("en") in text
    shown = re.findall(r'<pre class="json"><code>(.*?)</code></pre>', text, re.DOTALL)
    payload, whole = (json.loads(Reader(piece).text) for piece in shown)
    assert whole["type"] == "gov.retraction/1"
    assert whole["payload"] == payload


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "en",
        "en/",
        "en/nothing.html",
        "de/index.html",
        "../book.py",
        "en/../index.html",
        "handbook.py",
    ],
)
def test_what_is_no_page_is_none(path: str, book: Handbook) -> None:
    assert book.page(path) is None


def test_a_catalogue_without_examples_has_a_handbook_too(
    catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bare = Handbook(catalogue, tmp_path_factory.mktemp("empty"))
    page = bare.page("fr/gov.retraction-1.html")

    assert page is not None
    assert b'class="json"' not in page.body
    assert bare.page(FIRST_PAGE) is not None


def test_web_addresses_in_an_example_are_defanged_and_the_reader_is_told(book: Handbook) -> None:
    pages = dict(html_pages(book))
    shown = pages[f"en/{type_file('ecom.seller_alert/1')}"]
    plain = pages[f"en/{type_file('assist.ack/1')}"]
    blocks = "".join(re.findall(r'<pre class="json">.*?</pre>', shown, re.DOTALL))

    assert "hxxps://marketplace[.]example/" in blocks
    assert "https://" not in blocks
    assert "shown defanged" in shown
    assert "shown defanged" not in plain


def test_a_limited_type_says_how_often_it_may_be_sent_and_what_it_does_not_protect_against(
    book: Handbook,
) -> None:
    pages = dict(html_pages(book))
    english = pages[f"en/{type_file('match.query/1')}"]
    french = pages[f"fr/{type_file('match.query/1')}"]

    assert "200 messages an agency and UTC day" in english
    assert "not against the partner" in english
    assert "200 messages par service et par jour UTC" in french
    assert "non contre le partenaire" in french
    assert "an agency and UTC day" not in pages[f"en/{type_file('match.result/1')}"]
