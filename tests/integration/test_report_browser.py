"""The report for people in a real browser: it is drawn without any server, and prints to a PDF."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.audit.figures_html import render_html
from tests.unit.audit.making import FR, US
from tests.unit.audit.test_overdue import DISPOSITION, REFERRAL, REFERRAL_MS, START_MS, count, said

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("language", "words"), [("en", "Replies that were due"), ("fr", "Réponses attendues")]
)
def test_the_report_is_drawn_and_prints_to_a_pdf(tmp_path: Path, language: str, words: str) -> None:
    asked = [said(FR, number, REFERRAL, START_MS) for number in range(1, 60)]
    answers = [
        said(US, 100 + n, DISPOSITION, START_MS + REFERRAL_MS + n - 20, thread=n) for n in range(1, 40)
    ]
    figures = count(tmp_path / "case", [*asked], [*answers])
    page, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    page.write_text(render_html(figures, language=language), encoding="utf-8")
    browser = shutil.which("chromium")
    assert browser is not None
    command = [
        browser,
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"),
        f"--user-data-dir={tmp_path / 'profile'}",
    ]

    drawn = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=100, check=True
    ).stdout
    subprocess.run([*command, f"--print-to-pdf={printed}", page.as_uri()], timeout=100, check=True)

    assert words in drawn
    assert drawn.count("<rect") >= 3
    data = printed.read_bytes()
    assert data.startswith(b"%PDF-")
    assert data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") >= 2
