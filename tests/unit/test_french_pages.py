"""What operators read is in French as well: the same sections, commands and links, and what is printed.

Who changes a page in one language learns here of the other one. `tests/unit/audit/test_guide_in_french.py`
does the same for auditors, `test_events.py` for the events.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup

from gateway.cli import COMMANDS, Commands
from gateway.cli.doctor import NAMES
from gateway.cli.french import in_french
from gateway.cli.refusal_words import FILES, TOKENS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = {"runbooks.md": "procedures.md", "key-emergencies.md": "urgences-cles.md", "keys.md": "cles.md"}
IN_FRENCH = {**PAGES, "auditing.md": "auditer.md"}
"""Each page that has the same sections in French."""

ABOUT_LANGUAGE = ("--language fr", "ENTENTE_LANGUAGE=fr")
"""What only the French page says, in its head."""


def read(page: str) -> str:
    """Return the text of a page."""
    return (DOCS / page).read_text(encoding="utf-8")


def headings(page: str) -> list[str]:
    """Return the headings of a page, with their marks of level."""
    return re.findall(r"^#+ .+$", read(page), re.MULTILINE)


def sections(page: str) -> list[str]:
    """Return the text below each heading."""
    return re.split(r"^#+ .+$", read(page), flags=re.MULTILINE)[1:]


def title(heading: str) -> str:
    """Return a heading without its marks."""
    return heading.lstrip("# ").replace("`", "")


def anchor(heading: str) -> str:
    """Return the anchor that a renderer makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title(heading).lower()).replace(" ", "-")


SECTIONS = [
    pytest.param(english, french, ours, theirs, id=f"{english}: {title(heading)}")
    for english, french in PAGES.items()
    for heading, ours, theirs in zip(headings(english), sections(english), sections(french), strict=False)
]
EACH_SECTION = pytest.mark.parametrize(
    ("ours", "theirs"), [pytest.param(*section.values[2:], id=section.id) for section in SECTIONS]
)
EACH_SECTION_OF_A_PAGE = pytest.mark.parametrize(("english", "french", "ours", "theirs"), SECTIONS)


def lines_of_code(section: str) -> list[str]:
    """Return the indented lines, without comments and with the reasons left out, which people word."""
    found = re.findall(r"^ {4,}(\S.*)$", section, re.MULTILINE)
    return [re.sub(r'--reason "[^"]*"', "--reason …", re.split(r" +# ", line)[0]) for line in found]


def spans(section: str) -> list[str]:
    """Return what stands between backticks, in order."""
    text = re.sub(r"^ {4,}\S.*$", "", section, flags=re.MULTILINE)
    return [span for span in re.findall(r"`([^`]+)`", text) if span not in ABOUT_LANGUAGE]


def commands(page: str) -> Iterator[list[str]]:
    """Yield each command of this program that stands in a page, as words."""
    for section in sections(page):
        joined = re.sub(r"\\\n\s*", " ", section)
        for line in lines_of_code(joined):
            yield from (shlex.split(part) for part in line.split(" && ") if part.startswith("entente "))
        yield from (span.split() for span in spans(section) if span.startswith("entente "))


@lru_cache(maxsize=1)
def said() -> list[tuple[str, str]]:
    """Return what the program says, in English and French."""
    lines = (ROOT / "gateway/cli/french.txt").read_text(encoding="utf-8").splitlines()
    sentences = [line for line in lines if line and not line.startswith("#")]
    refusals = [(refusal.value, french) for refusal, french in (*FILES.items(), *TOKENS.items())]
    return [
        *zip(sentences[::2], sentences[1::2], strict=True),
        *refusals,
        *NAMES.items(),
        *(pair for path in sorted((ROOT / "gateway").rglob("*.py")) for pair in _wordings(path)),
    ]


def _wordings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the texts of a module that stand side by side: `Wording`, and `advice` with two of them."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        named = {
            keyword.arg: keyword.value.value
            for keyword in call.keywords
            if isinstance(keyword.value, ast.Constant)
        }
        texts = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        if call.func.id == "Wording" and {"en", "fr"} <= named.keys():
            yield str(named["en"]), str(named["fr"])
        elif call.func.id == "advice" and len(texts) == 4:
            yield from ((str(texts[0]), str(texts[2])), (str(texts[1]), str(texts[3])))


def is_said(english: str, french: str) -> bool:
    """Return whether a command says these words, in one language and in the other.

    Both pages may leave words out (``…``), and put the same fact before or behind them.
    """
    one, two = (text.replace("…", "").split() for text in (english, french))
    while one and two and one[0] == two[0]:
        one, two = one[1:], two[1:]
    while one and two and one[-1] == two[-1]:
        one, two = one[:-1], two[:-1]
    words = " ".join(one), " ".join(two)
    return all(words) and any(words[0] in pair[0] and words[1] in pair[1] for pair in said())


def other_page(link: str, page: str) -> str:
    """Return the target in French pages of a link of an English one."""
    target, _, place = link.partition("#")
    french = IN_FRENCH.get(target or page)
    if french is None:
        return link
    if place:
        place = anchor(headings(french)[[anchor(item) for item in headings(target or page)].index(place)])
    return f"{french if target else ''}{'#' if place else ''}{place}"


def links(section: str, *, but: str) -> list[str]:
    """Return the targets of the links, but that of the same page in the other language."""
    return [link for link in re.findall(r"\]\(([^)]+)\)", section) if link != but]


def named_sections(text: str, pages: dict[str, str]) -> list[tuple[str, int | None]]:
    """Return the pages that a text of the program names, each with the number of the section.

    Args:
        text: In either language.
        pages: What stands for a page in the answer, if not its own name.
    """
    found: list[tuple[str, int | None]] = []
    for named in re.finditer(r"docs/([a-z-]+\.md)", text):
        rest, known = text[named.end() :], [title(item) for item in headings(named[1])]
        numbers = [at for at, item in enumerate(known) if re.match(rf", (?:“|« )?{re.escape(item)}", rest)]
        assert numbers or not re.match(r", (?:[A-ZÉ“]|« )", rest), f"no such section: {named[0]}{rest[:40]}"
        found.append((pages.get(named[1], named[1]), numbers[-1] if numbers else None))
    return found


@pytest.mark.parametrize(("english", "french"), PAGES.items())
def test_both_pages_have_the_same_sections_and_name_each_other_at_their_head(
    english: str, french: str
) -> None:
    levels = [[heading.split(" ")[0] for heading in headings(page)] for page in (english, french)]

    assert len(levels[0]) > 6
    assert levels[0] == levels[1]
    assert f"]({french})" in sections(english)[0]
    assert f"]({english})" in sections(french)[0]


@EACH_SECTION
def test_the_same_commands_stand_in_both(ours: str, theirs: str) -> None:
    expected = [in_french(line) or line for line in lines_of_code(ours)]
    assert lines_of_code(theirs) == expected


@EACH_SECTION
def test_the_same_names_stand_in_both_and_what_is_printed_is_quoted_in_french(ours: str, theirs: str) -> None:
    pairs = list(zip(spans(ours), spans(theirs), strict=False))
    assert [pair for pair in pairs if pair[0] != pair[1] and not is_said(*pair)] == []
    assert len(spans(ours)) == len(spans(theirs))


@EACH_SECTION
def test_both_have_as_many_steps_points_and_cells(ours: str, theirs: str) -> None:
    for pattern in (r"^\d+\. ", r"^- "):
        assert len(re.findall(pattern, theirs, re.MULTILINE)) == len(re.findall(pattern, ours, re.MULTILINE))
    rows = [[line for line in text.splitlines() if line.startswith("|")] for text in (ours, theirs)]
    # Which cells are empty has to be the same as well.
    shapes = [[[bool(cell.strip()) for cell in row.split("|")] for row in table] for table in rows]
    assert shapes[0] == shapes[1]


@EACH_SECTION_OF_A_PAGE
def test_french_leads_on_to_french(english: str, french: str, ours: str, theirs: str) -> None:
    expected = [other_page(link, english) for link in links(ours, but=french)]

    assert links(theirs, but=english) == expected


@pytest.mark.parametrize("page", ["evenements.md", "auditer.md"])
def test_the_other_french_pages_lead_to_french_pages_as_well(page: str) -> None:
    targets = {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", read(page))}

    assert targets & PAGES.keys() == set()


@EACH_SECTION
def test_the_same_sections_are_named_in_quotes(ours: str, theirs: str) -> None:
    titles = {
        title(one): title(two)
        for pair in IN_FRENCH.items()
        for one, two in zip(*map(headings, pair), strict=True)
    }
    expected = [titles[name] for name in re.findall(r'"([^"`]+)"', ours) if name in titles]

    assert [name for name in re.findall(r"« ([^»]+) »", theirs) if name in titles.values()] == expected


def test_what_the_program_says_in_french_names_french_pages() -> None:
    to_english = {french: english for english, french in IN_FRENCH.items()}
    naming = [pair for pair in said() if "docs/" in pair[0]]

    assert len(naming) > 30
    for english, french in naming:
        assert named_sections(french, to_english) == named_sections(english, {}), french
        assert not [page for page in IN_FRENCH if f"docs/{page}" in french], french


@pytest.mark.parametrize("page", [*PAGES, *PAGES.values()])
def test_every_command_and_option_of_the_pages_exists(page: str) -> None:
    found = list(commands(page))
    assert len(found) > 6
    for words in found:
        name, *rest = words[1:]
        assert name in COMMANDS, words
        command = Commands(name="entente").get_command(None, name)
        if isinstance(command, TyperGroup) and not rest:
            continue
        inner = command.commands[rest.pop(0)] if isinstance(command, TyperGroup) else command
        assert isinstance(inner, TyperCommand), words
        options = {option for parameter in inner.params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= options, words
