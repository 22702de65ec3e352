"""Figures of a period, and the page that shows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from gateway.audit.figures import MAX_LISTED, Figures, Listed, Period, count_logs
from gateway.audit.figures_html import render_html
from gateway.audit.folder import LogFolder
from gateway.core.entries import IncidentEntry, IncidentKind, Role
from tests.unit.audit.making import (
    AGENCY,
    FR,
    FR_AUDIT,
    FR_US,
    TIME_S,
    US,
    US_FR,
    MadeLog,
    collected,
    event,
    exchange_log,
    full_trust,
    make_log,
    opening,
    receipt,
)

START_MS = TIME_S * 1_000
ALWAYS = Period(from_ms=0, until_ms=2**50)
LOG = exchange_log(300)
ANSWERS = make_log(
    US_FR,
    [
        *opening(US),
        replace(receipt(LOG, 3, 300, refused=[9]), decided_ms=START_MS + 2_000),
        collected(LOG, 10, 11),
        IncidentEntry(incident=IncidentKind.PEER_ROLLBACK, origin=FR_US, size=7, root=bytes(32)),
    ],
    cosigner=FR,
)
AUDIT = make_log(
    FR_AUDIT,
    [
        replace(event(0), event="message.refused", outcome="message-refused", details=(7, 12)),
        replace(event(1), event="queue.cancelled", role=Role.OPERATOR, actor=b"\x11" * 32),
        replace(event(2), event="evidence.disclosed"),
        b"\xff",
    ],
    cosigner=US,
)


def count(folder: Path, *logs: MadeLog, period: Period = ALWAYS) -> Figures:
    named = [(str(number), LogFolder(made.export(folder / str(number)))) for number, made in enumerate(logs)]
    return count_logs(named, period, trust=full_trust(), progress=lambda _: lambda _done, _all: None)


def test_a_period_is_counted_from_verified_logs(tmp_path: Path) -> None:
    figures = count(tmp_path, LOG, ANSWERS, AUDIT)
    assert all(log.is_verified for log in figures.logs)
    assert figures.by_log == {FR_US: 297}
    assert figures.by_type == {"intel.spontaneous/1": 297}
    assert figures.by_agency == {AGENCY[FR]: 297}
    assert figures.by_precedence == {"ROUTINE": 297}
    assert figures.by_day == {"2026-11-18": 297}
    assert (figures.received, figures.refused) == ({FR_US: 296}, {"rule H-05": 1})
    assert figures.refused_at_home == {"message-refused H-05": 1, "message-refused H-10": 1}
    assert figures.collected == {AGENCY[US]: 2}
    assert (figures.wait_ms(0.0), figures.wait_ms(1.0)) == (1_704, 2_000)
    assert [item.what for item in figures.incidents] == [f"peer-rollback {FR_US} 7"]
    assert [item.what for item in figures.operators] == ["queue.cancelled ok 1111111111111111"]
    assert len(figures.keys) == 4
    assert (figures.disclosed, figures.unlisted) == (1, 1)


def test_a_mirror_is_not_counted_a_second_time(tmp_path: Path) -> None:
    once, twice = count(tmp_path / "a", LOG, ANSWERS), count(tmp_path / "b", LOG, ANSWERS, LOG, ANSWERS)
    assert (once.by_log, once.received, once.collected) == (twice.by_log, twice.received, twice.collected)
    assert len(twice.logs) == 4


def test_only_what_lies_in_the_period_is_counted(tmp_path: Path) -> None:
    figures = count(
        tmp_path, LOG, ANSWERS, AUDIT, period=Period(from_ms=START_MS + 10, until_ms=START_MS + 20)
    )
    assert figures.by_log == {FR_US: 10}
    assert figures.received == {FR_US: 10}
    assert figures.refused == figures.collected == figures.refused_at_home == Counter()
    empty = count(tmp_path / "none", LOG, period=Period(from_ms=0, until_ms=1))
    assert empty.wait_ms(0.5) is None


class Page(HTMLParser):
    """Collects tags and what a page would load; sees to it that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loads += [str(value) for name, value in attrs if name in {"src", "href", "style"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(html: str) -> Page:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


@pytest.mark.parametrize(
    ("language", "word", "number"), [("en", "VERIFIED", "1,234"), ("fr", "VÉRIFIÉ", "1\u202f234")]
)
def test_the_page_is_whole_loads_nothing_and_speaks_two_languages(
    tmp_path: Path, language: str, word: str, number: str
) -> None:
    figures = count(tmp_path, LOG, ANSWERS, AUDIT)
    figures.collected["US.CBP.NTC"] = 1_234
    html = render_html(figures, language=language)
    page = page_of(html)
    assert f'lang="{language}"' in html
    assert f'<p class="verdict good">{word}</p>' in html
    assert number in html
    assert page.tags["svg"] == 8
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == 0
    assert page.loads == []
    assert "http" not in html.replace("http-equiv", "")


def test_a_log_that_is_not_verified_is_said_first(tmp_path: Path) -> None:
    folder = LOG.export(tmp_path)
    (folder / "tile/0/000").write_bytes(bytes(8_192))
    figures = count_logs(
        [("x", LogFolder(folder))],
        ALWAYS,
        trust=full_trust(),
        progress=lambda _: lambda _done, _all: None,
    )
    html = render_html(figures, language="en")
    assert '<p class="verdict bad">NOT VERIFIED</p>' in html
    assert "do not follow from the entries" in html
    assert '<p class="verdict bad">' in render_html(Figures(period=ALWAYS), language="en")


def test_what_comes_from_a_log_cannot_play_with_the_page() -> None:
    nasty = '<script>alert("x")</script>\u202e&\x1b'
    figures = Figures(period=ALWAYS)
    figures.by_type[nasty] = 1
    figures.incidents.append(Listed(at_ms=None, origin=nasty, index=1, what=nasty))
    html = render_html(figures, language="fr")
    page_of(html)
    assert "<script" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html


def test_lists_have_an_end(tmp_path: Path) -> None:
    many = [replace(event(n), role=Role.OPERATOR) for n in range(MAX_LISTED + 5)]
    figures = count(tmp_path, make_log(FR_AUDIT, many, cosigner=US))
    assert (len(figures.operators), figures.unlisted) == (MAX_LISTED, 5)
    assert "further items" in render_html(figures, language="en")
