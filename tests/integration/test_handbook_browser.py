"""The handbook in a real browser, as a folder and without any server: it is drawn, and its search finds."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.handbook import Handbook

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("handbook")
    for path, page in Handbook(read_catalogue(), catalogue_folder()).pages():
        (top / path).parent.mkdir(exist_ok=True)
        (top / path).write_bytes(page.body)
    return top


def drawn(address: str, profile: Path) -> str:
    """Return a page as the browser has it after its script ran."""
    browser = shutil.which("chromium")
    assert browser is not None
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        f"--user-data-dir={profile}",
        "--dump-dom",
    ]
    result = subprocess.run([*command, address], capture_output=True, text=True, timeout=100, check=True)
    return result.stdout


def shown(page: str) -> list[str]:
    """Return the ids of the types whose cards are not hidden."""
    cards = re.findall(r'<a href="[^"]+" class="card"([^>]*)>.*?<code>([^<]+)</code>', page)
    return [type_id for attributes, type_id in cards if not attributes.endswith('hidden=""')]


def test_the_first_page_shows_every_type(folder: Path, tmp_path: Path) -> None:
    page = drawn((folder / "fr/index.html").as_uri(), tmp_path)

    assert sorted(shown(page)) == sorted(read_catalogue().types)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("retractation", ["gov.retraction/1"]),  # accents and capitals do not matter
        ("DELETE_CAUSE", []),  # a code list, and no type
        ("copies_notified", ["gov.deletion_certificate/1"]),  # a field
        ("nothing-of-this-name", []),
    ],
)
def test_the_search_leaves_what_holds_every_word(
    words: str, found: list[str], folder: Path, tmp_path: Path
) -> None:
    page = drawn((folder / "fr/index.html").as_uri() + f"#q={words}", tmp_path)

    assert shown(page) == found


def test_a_link_to_a_search_is_followed_on_the_page_itself(folder: Path, tmp_path: Path) -> None:
    page = (folder / "fr/index.html").read_text(encoding="utf-8")
    follow = '<script>addEventListener("load", () => { location.hash = "#q=retractation"; });</script>'
    (folder / "fr/followed.html").write_text(page.replace("</body>", follow + "</body>"), encoding="utf-8")

    followed = drawn((folder / "fr/followed.html").as_uri() + "#q=copies_notified", tmp_path)

    assert shown(followed) == ["gov.retraction/1"]


def test_no_page_scrolls_sideways_on_a_telephone(folder: Path, tmp_path: Path) -> None:
    pages = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    frames = "".join(f'<iframe width="320" height="640" src="{page}"></iframe>' for page in pages)
    measure = """<script>onload = () => {
        for (const frame of document.querySelectorAll("iframe")) {
            const page = frame.contentDocument.documentElement;
            frame.replaceWith(`${frame.getAttribute("src")} ${page.scrollWidth} of ${page.clientWidth}; `);
        }
    }</script>"""
    # Frames without a border, and as wide as said: whatever lies in them sees a narrow screen.
    style = "<style>iframe { border: 0; width: 320px }</style>"
    (folder / "telephones.htm").write_text(f"<!doctype html>{style}{frames}{measure}", encoding="utf-8")

    measured = re.findall(
        r"((?:\w\w/)?[\w.-]+\.html) (\d+) of (\d+);", drawn((folder / "telephones.htm").as_uri(), tmp_path)
    )

    assert len(measured) == len(pages) > 100
    assert [page for page, needed, there in measured if int(needed) > int(there)] == []
