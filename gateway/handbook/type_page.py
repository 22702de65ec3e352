"""The page of one message type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.core.message.banner import banner, equivalent
from gateway.core.message.defang import defanged
from gateway.core.message.registry import MessageType
from gateway.core.message.rules.definition import Rule
from gateway.core.message.terms import TypeTerms
from gateway.core.message.wording import Wording
from gateway.handbook.markup import Html, code, el, join, link
from gateway.handbook.parts import bullets, code_chip, facts, field_table, json_text, type_link
from gateway.handbook.reading import GENERAL_RULES, Subject
from gateway.handbook.words import Voice

_DAY_MINUTES: Final = 24 * 60


def type_content(subject: Subject, voice: Voice, item: MessageType) -> Html:
    """Return what stands on the page of a type."""
    payload = item.schema["properties"]["payload"]
    before, after = voice.around("fields_lead", "header")
    header = link("header.html", voice.word("common_header"))
    return join(
        [
            el(
                "hgroup",
                el("h1", voice.say(item.wording)),
                el(
                    "p",
                    code(item.id),
                    " ",
                    el("span", voice.other.say(item.wording), lang=voice.other.language),
                ),
            ),
            el("p", voice.say(item.description), class_="lead"),
            _section("thread", voice, _thread(subject, voice, item)),
            _section("who", voice, _who(subject, voice, item.terms)),
            _section("terms", voice, _terms(subject, voice, item.terms)),
            _section(
                "fields",
                voice,
                el("p", before, header, after),
                field_table(subject, voice, item.schema["$id"], payload),
            ),
            _section("type_rules", voice, _rules(subject, voice, item)),
            _section("example", voice, *_example(subject, voice, item)),
            el("p", voice.word("type_digest"), " ", code(item.digest.hex()), class_="digest"),
        ]
    )


def _section(word: str, voice: Voice, *content: Html | None) -> Html:
    return el("section", el("h2", voice.word(word)), *content, id=word)


def _thread(subject: Subject, voice: Voice, item: MessageType) -> Html:
    """Return what a type answers, itself, and what may answer it, from left to right."""
    terms = item.terms
    answers = [type_link(subject, voice, answered) for answered in sorted(terms.reply_to)]
    replies = [
        join([type_link(subject, voice, reply), el("span", voice.say(deadline), class_="deadline")])
        for reply, deadline in terms.replies.items()
    ]
    middle = [el("strong", voice.say(item.wording)), code_chip(subject, voice, "pattern", terms.pattern)]
    if terms.threads:
        middle.append(el("small", voice.word("may_link")))
    return el(
        "div",
        el(
            "div",
            el("h3", voice.word("answers")),
            bullets(answers) if answers else el("p", voice.word("opens")),
        ),
        el("div", *middle, class_="this"),
        el(
            "div",
            el("h3", voice.word("answered_by")),
            bullets(replies) if replies else el("p", voice.word("no_answer")),
        ),
        class_="flow",
    )


def _who(subject: Subject, voice: Voice, terms: TypeTerms) -> Html:
    agreement = subject.catalogue.agreement
    sides = []
    for nation, agencies in terms.agencies.items():
        known = [agency for agency in agreement.agency_names if agency in agencies]
        names = [join([code(agency), " ", voice.say(agreement.agency_names[agency])]) for agency in known]
        sides.append(el("div", el("h3", voice.say(agreement.nations[nation].name)), bullets(names)))
    return el(
        "div",
        sides[0],
        el("div", "⇄", title=voice.word("agencies_either_way"), class_="either"),
        *sides[1:],
        class_="sides",
    )


def _terms(subject: Subject, voice: Voice, terms: TypeTerms) -> Html:
    return facts(
        (
            (voice.word("deadline"), _deadline(voice, terms)),
            (voice.word("purposes"), _purposes(subject, voice, terms)),
            (voice.word("legal_bases"), _bases(subject, voice, terms)),
            (voice.word("personal_data"), _personal_data(subject, voice, terms)),
            (voice.word("retention"), voice.word("days", days=terms.keep_days)),
            (voice.word("evaluation"), voice.word("eval_required" if terms.evaluation else "eval_optional")),
            (voice.word("precedence"), voice.word("flash_yes" if terms.flash else "flash_no")),
            *_limit(voice, terms),
        )
    )


def _limit(voice: Voice, terms: TypeTerms) -> Iterator[tuple[str, str]]:
    """Yield how many may be sent, if that is limited."""
    if terms.daily_limit is not None:
        yield voice.word("limit"), voice.word("a_day", count=terms.daily_limit)


_THEN: Final = Wording(en="; ", fr=" ; ")


def _deadline(voice: Voice, terms: TypeTerms) -> Html | str:
    rule = terms.reply_by
    if rule is None:
        return voice.word("awaits_nothing")
    if len(set(rule.minutes.values())) == 1:
        times = duration(voice, next(iter(rule.minutes.values())))
    else:
        by_code = (f"{value} {duration(voice, minutes)}" for value, minutes in rule.minutes.items())
        times = voice.word("by_field", field=_name(rule.field), times=", ".join(by_code))
    if rule.not_after is not None:
        field = _name(rule.not_after)
        if rule.margin_minutes:
            margin = duration(voice, rule.margin_minutes)
            times += voice.say(_THEN) + voice.word("not_after_margin", field=field, margin=margin)
        else:
            times += voice.say(_THEN) + voice.word("not_after", field=field)
    return voice.word("awaits", times=times)


def duration(voice: Voice, minutes: int) -> str:
    """Return a length of time in the largest unit that fits it."""
    if minutes % _DAY_MINUTES == 0 and minutes > 2 * _DAY_MINUTES:
        return voice.word("whole_days", count=minutes // _DAY_MINUTES)
    if minutes % 60 == 0:
        return voice.word("hours", count=minutes // 60)
    return voice.word("minutes", count=minutes)


def _name(pointer: str) -> str:
    return pointer.rpartition("/")[2]


def _purposes(subject: Subject, voice: Voice, terms: TypeTerms) -> Html | str:
    if "*" in terms.purposes:
        return voice.word("any_purpose")
    order = subject.documents["codes/purpose"]["enum"]
    chips: list[Html | str] = [
        code_chip(subject, voice, "purpose", value) for value in order if value in terms.purposes
    ]
    if "=" in terms.purposes:
        chips.append(voice.word("same_purpose"))
    return join(chips, " ")


def _bases(subject: Subject, voice: Voice, terms: TypeTerms) -> Html | str:
    if not terms.legal_bases:
        return voice.word("any_basis")
    chips = (code_chip(subject, voice, "legal_basis", basis) for basis in terms.legal_bases)
    return join([voice.word("one_of"), " ", join(chips, " ")])


def _personal_data(subject: Subject, voice: Voice, terms: TypeTerms) -> Html | str:
    if terms.no_personal_data:
        return voice.word("pd_forbidden")
    if "=" in terms.personal_data:
        return voice.word("pd_same")
    if not terms.personal_data:
        return voice.word("pd_none")
    order = subject.documents["codes/pd_category"]["enum"]
    chips = (
        code_chip(subject, voice, "pd_category", value) for value in order if value in terms.personal_data
    )
    return join([voice.word("pd_expected"), " ", join(chips, " ")])


def _rules(subject: Subject, voice: Voice, item: MessageType) -> Html:
    rules = [_rule(voice, rule) for rule in subject.rules_of(item)]
    before, after = voice.around("general_rules", "rules")
    general = link("rules.html", voice.word("rules_of_every_message", count=len(GENERAL_RULES)))
    listed = bullets(rules, "rules") if rules else el("p", voice.word("no_own_rules"))
    return join([listed, el("p", before, general, after)])


def _rule(voice: Voice, rule: Rule) -> Html:
    return join([link(f"rules.html#{rule.id}", code(rule.id)), " ", voice.say(rule.wording)])


def _example(subject: Subject, voice: Voice, item: MessageType) -> Iterator[Html]:
    """Yield a note, the payload of the example between its banners, and the whole message."""
    before, after = voice.around("example_note", "command")
    yield el("p", before, code(f"entente schema new {item.id}"), after)
    example = subject.examples.get(item.id)
    if example is None:
        return
    shown = defanged(example)
    if shown != example:
        yield el("p", el("small", voice.word("defanged")))
    marking = example["header"]["marking"]
    line = el("p", banner(marking), " ", el("small", f"= {equivalent(marking)}"), class_="banner")
    yield line
    yield json_text(shown["payload"])
    yield el("details", el("summary", voice.word("whole_message")), json_text(shown))
    yield line


def search_text(item: MessageType) -> str:
    """Return what a reader may look for on the page of a type, in both languages."""
    found = [item.id, *_both(item.wording), *_both(item.description)]
    for name, field in item.schema["properties"]["payload"]["properties"].items():
        found += [name, field.get("title", ""), field.get("x-title-fr", "")]
    return " ".join(found)


def _both(wording: Wording) -> tuple[str, str]:
    return wording.en, wording.fr
