"""The commands of docs/runbooks.md, taken from the text and run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ROOT

DOCUMENT = ROOT / "docs" / "runbooks.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the folders of the runbooks are in a test.

    Attributes:
        folder: For everything.
        home: What stands for ``/srv/fr``.
        python: Interpreter that runs `entente`.
        tree: Folder from which it is run.
    """

    folder: Path
    home: Path
    python: Path = Path(sys.executable)
    tree: Path = ROOT

    def follow(self, section: str, step: int, *, statuses: Container[int] = (0,)) -> str:
        """Run the commands of a step and return what they printed.

        Args:
            section: Heading of the runbook.
            step: Its number there.
            statuses: How the last command may end; those before it succeed.
        """
        (self.folder / "backup").mkdir(exist_ok=True)
        (self.folder / "media").mkdir(exist_ok=True)
        phrases = self.folder / "run" / "phrases"
        if not phrases.exists():
            phrases.mkdir(parents=True, mode=0o700)
            (phrases / "backup").touch(mode=0o600)
            (phrases / "backup").write_text("a passphrase of the backup key\n")
        script = commands(section, step)
        for name, path in (
            ("/srv/fr", self.home),
            *((f"/{n}", self.folder / n) for n in ("media", "backup", "run")),
        ):
            script = re.sub(rf"(?<![\w/-]){name}(?=[/ ]|$)", str(path), script, flags=re.MULTILINE)
        program = self.folder / "bin" / "entente"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\ncd "{self.tree}" && exec "{self.python}" -m gateway "$@"\n')
        program.chmod(0o755)
        done = subprocess.run(
            ("bash", "-euc", script),
            cwd=self.folder,
            env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode in statuses, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def commands(section: str, step: int) -> str:
    """Return the indented lines of a numbered step."""
    text = DOCUMENT.read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    steps = dict(re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^\||\Z)", sections[section], re.MULTILINE | re.DOTALL))
    lines = [line[7:] for line in steps[str(step)].splitlines() if line.startswith(" " * 7)]
    assert lines, f"step {step} of {section} has no commands"
    return "\n".join(lines)
