"""The pages that list things: types, code lists, building blocks, forms, rules, and the agreement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.core.message.rules import RULES
from gateway.core.message.rules.definition import Rule
from gateway.handbook.areas import AREAS
from gateway.handbook.markup import Html, code, el, join, link
from gateway.handbook.parts import (
    bullets,
    document_link,
    field_table,
    type_file,
    type_link,
)
from gateway.handbook.reading import REPLY_TYPES, Subject, needs_conversation, rules_of_part
from gateway.handbook.type_page import duration, search_text
from gateway.handbook.words import Voice


def index_content(subject: Subject, voice: Voice) -> Html:
    """Return the first page: a search, and everything that it finds."""
    lists, types = subject.in_folder("codes"), subject.catalogue.types
    field = el(
        "input",
        type="search",
        id="search",
        placeholder=voice.word("search"),
        aria_label=voice.word("search"),
        autocomplete="off",
        spellcheck="false",
    )
    status = el(
        "p",
        id="found",
        role="status",
        data_none=voice.word("nothing_found"),
        data_some=voice.word("found"),
    )
    return join(
        [
            el("h1", voice.word("handbook")),
            el(
                "p",
                voice.word("lead", types=len(types), codes=len(lists), rules=len(RULES)),
                class_="lead",
            ),
            el("div", field, status, class_="search"),
            *_areas(subject, voice),
            _searchable(
                voice.word("codes"),
                (
                    (
                        join([link(f"codes.html#{name}", voice.title(document)), " ", code(name.upper())]),
                        " ".join([name, document["title"], document["x-title-fr"], *_code_words(document)]),
                    )
                    for name, document in lists.items()
                ),
            ),
            _searchable(
                voice.word("rules"),
                (
                    (
                        join(
                            [
                                link(f"rules.html#{rule.id}", code(rule.id)),
                                " ",
                                el("small", voice.say(rule.wording)),
                            ]
                        ),
                        f"{rule.id} {rule.wording.en} {rule.wording.fr}",
                    )
                    for rule in RULES
                ),
            ),
        ]
    )


def _areas(subject: Subject, voice: Voice) -> Iterator[Html]:
    """Yield the types, area by area."""
    left = dict(subject.catalogue.types)
    for area in AREAS:
        inside = [left.pop(key) for key in list(left) if key.partition(".")[0] in area.prefixes]
        inside.sort(key=lambda item: bool(item.terms.reply_to))  # first what opens a conversation
        if inside:
            yield _type_cards(voice, voice.say(area.wording), inside)
    if left:
        yield _type_cards(voice, voice.word("area_other"), left.values())


def _type_cards(voice: Voice, heading: str, items: Iterable[Any]) -> Html:
    cards = (
        el(
            "a",
            el("strong", voice.say(item.wording)),
            code(item.id),
            el("span", voice.say(item.description)),
            href=type_file(item.id),
            class_="card",
            data_search=search_text(item),
        )
        for item in items
    )
    return el("section", el("h2", heading), el("div", *cards, class_="cards"))


def _searchable(heading: str, items: Iterable[tuple[Html, str]]) -> Html:
    entries = (el("li", content, data_search=text) for content, text in items)
    return el("section", el("h2", heading), el("ul", *entries, class_="columns"))


def _code_words(document: Any) -> Iterator[str]:
    for value, label in document["x-labels"].items():
        yield from (value, label["en"], label["fr"])


def codes_content(subject: Subject, voice: Voice) -> Html:
    """Return every code list with its codes and labels."""
    sections = (
        el(
            "section",
            el("h2", voice.title(document), " ", code(name.upper())),
            _used_by(subject, voice, f"codes/{name}"),
            el(
                "table",
                el(
                    "tbody",
                    *(
                        el(
                            "tr",
                            el("th", code(value), scope="row"),
                            el("td", voice.label(document["x-labels"], value)),
                        )
                        for value in document["enum"]
                    ),
                ),
                class_="codes",
            ),
            id=name,
        )
        for name, document in subject.in_folder("codes").items()
    )
    return join([el("h1", voice.word("codes")), el("p", voice.word("codes_lead"), class_="lead"), *sections])


def blocks_content(subject: Subject, voice: Voice) -> Html:
    """Return the building blocks of payloads."""
    names = [name for name in subject.in_folder("common") if name not in subject.header_blocks]
    return _blocks(subject, voice, "blocks", names)


def header_content(subject: Subject, voice: Voice) -> Html:
    """Return the header and the blocks it is made of."""
    return _blocks(subject, voice, "header", subject.header_blocks)


def _blocks(subject: Subject, voice: Voice, word: str, names: Iterable[str]) -> Html:
    documents = subject.in_folder("common")
    sections = (
        el(
            "section",
            el("h2", voice.title(documents[name]), " ", code(name)),
            el("p", voice.description(documents[name])),
            _used_by(subject, voice, f"common/{name}") if word == "blocks" else None,
            _followed_by(voice, f"common/{name}"),
            field_table(subject, voice, documents[name]["$id"], documents[name]),
            id=name,
        )
        for name in names
    )
    return join([el("h1", voice.word(word)), el("p", voice.word(f"{word}_lead"), class_="lead"), *sections])


def formats_content(subject: Subject, voice: Voice) -> Html:
    """Return the forms of single values."""
    sections = (
        el(
            "section",
            el("h2", voice.title(document)),
            el("p", voice.description(document)),
            el("p", code(document["pattern"]), class_="pattern") if "pattern" in document else None,
            _used_by(subject, voice, f"formats/{name}") if name != "text" else None,
            _followed_by(voice, f"formats/{name}"),
            id=name,
        )
        for name, document in subject.in_folder("formats").items()
    )
    return join(
        [el("h1", voice.word("formats")), el("p", voice.word("formats_lead"), class_="lead"), *sections]
    )


def rules_content(subject: Subject, voice: Voice) -> Html:
    """Return every rule."""
    heads = el(
        "tr",
        *(
            el("th", voice.word(name), scope="col")
            for name in ("rules", "meaning", "applies_to", "points_at")
        ),
    )
    rows = (
        el(
            "tr",
            el("th", code(rule.id), el("small", f"{voice.word('number')} {rule.number}"), scope="row"),
            el(
                "td",
                voice.say(rule.wording),
                el("span", voice.word("stateful"), class_="may") if needs_conversation(rule) else None,
            ),
            el("td", _applies_to(subject, voice, rule)),
            el("td", el("small", rule.pointer, lang="en")),
            id=rule.id,
        )
        for rule in RULES
    )
    table = el("div", el("table", el("thead", heads), el("tbody", *rows), class_="rules"), class_="wide")
    return join([el("h1", voice.word("rules")), el("p", voice.word("rules_lead"), class_="lead"), table])


def _applies_to(subject: Subject, voice: Voice, rule: Rule) -> Html:
    links = []
    for name in rule.applies_to:
        if name == "*":
            links.append(el("span", voice.word("every_message")))
        elif name.startswith(REPLY_TYPES):
            links.append(el("span", voice.word("reply_types")))
        elif "/" in name:
            links.append(type_link(subject, voice, name))
        else:
            folder = "common" if f"common/{name}" in subject.documents else "formats"
            known = f"{folder}/{name}" in subject.documents
            links.append(document_link(subject, voice, f"{folder}/{name}") if known else code(name))
    return bullets(links)


def _followed_by(voice: Voice, path: str) -> Html | None:
    """Return a line with the rules of a block or form, or None if none follows it."""
    links = [link(f"rules.html#{rule.id}", code(rule.id)) for rule in rules_of_part(path)]
    return el("p", voice.word("rules"), " ", join(links, ", "), class_="used") if links else None


def _used_by(subject: Subject, voice: Voice, path: str) -> Html:
    users = [document_link(subject, voice, user) for user in subject.users[path]]
    return el(
        "p", voice.word("used_by"), " ", join(users, ", ") if users else voice.word("unused"), class_="used"
    )


def agreement_content(subject: Subject, voice: Voice) -> Html:
    """Return agencies, markings and precedences."""
    return join(
        [
            el("h1", voice.word("agreement")),
            el("p", voice.word("agreement_lead"), class_="lead"),
            el("section", el("h2", voice.word("agencies")), *_agencies(subject, voice), id="agencies"),
            el("section", el("h2", voice.word("levels")), *_levels(subject, voice), id="levels"),
            el(
                "section", el("h2", voice.word("precedences")), _precedences(subject, voice), id="precedences"
            ),
        ]
    )


def _agencies(subject: Subject, voice: Voice) -> Iterator[Html]:
    agreement = subject.catalogue.agreement
    for nation, party in agreement.nations.items():
        rows = (
            el("tr", el("th", code(agency), scope="row"), el("td", voice.say(name)))
            for agency, name in agreement.agency_names.items()
            if agreement.agency_nation[agency] == nation
        )
        yield el("h3", voice.say(party.name))
        yield el("table", el("tbody", *rows))


def _levels(subject: Subject, voice: Voice) -> Iterator[Html]:
    """Yield the levels of each nation's policy and what they equal in the other's."""
    agreement = subject.catalogue.agreement
    for party in agreement.nations.values():
        rows = (
            el(
                "tr",
                el("th", code(level), scope="row"),
                el("td", code(agreement.equivalence[party.policy][level])),
                el("td", voice.word("above_ceiling") if agreement.rank[level] > agreement.ceiling else None),
            )
            for level in agreement.levels[party.policy]
        )
        heads = (el("th", text, scope="col") for text in (voice.word("level"), voice.word("equals"), ""))
        yield el("h3", voice.say(party.name))
        yield el("table", el("thead", el("tr", *heads)), el("tbody", *rows))


def _precedences(subject: Subject, voice: Voice) -> Html:
    heads = el(
        "tr",
        *(
            el("th", voice.word(name), scope="col")
            for name in ("precedence", "deliver", "first_answer", "lives")
        ),
    )
    rows = (
        el(
            "tr",
            el("th", code(name), scope="row"),
            el("td", duration(voice, item.deliver_minutes)),
            el("td", duration(voice, item.answer_minutes)),
            el("td", duration(voice, item.expires_hours * 60)),
        )
        for name, item in subject.catalogue.agreement.precedences.items()
    )
    return el("table", el("thead", heads), el("tbody", *rows))
