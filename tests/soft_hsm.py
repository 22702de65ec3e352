"""Tokens of SoftHSM in a folder of their own: what a hardware security module is to a node, in software."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.keyring.token import TokenSettings

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "1234-5678"
SO_PIN = "8765-4321"
VARIABLE = "SOFTHSM2_CONF"


class SoftHsm:
    """A device with any number of tokens, which can be pulled and put back."""

    def __init__(self, base: Path) -> None:
        """Make an empty device in a folder."""
        self._base = base
        self._tokens = base / "tokens"
        self._pulled = base / "pulled"
        self._tokens.mkdir(parents=True)
        self.conf = base / "softhsm2.conf"
        self.conf.write_text(
            f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\n"
            "log.level = ERROR\nslots.removable = false\n",
            encoding="utf-8",
        )

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs to see the device."""
        return {VARIABLE: str(self.conf)}

    def make_token(self, label: str, *, pin: str = PIN) -> None:
        """Initialise a token."""
        self._run("--init-token", "--free", "--label", label, "--so-pin", SO_PIN, "--pin", pin)

    def destroy_token(self, label: str) -> None:
        """Lose a token with all its keys, for good."""
        self._run("--delete-token", "--token", label)

    def pull(self) -> None:
        """Take the device away."""
        self._tokens.rename(self._pulled)

    def put_back(self) -> None:
        """Connect the device again."""
        self._pulled.rename(self._tokens)

    @contextmanager
    def pulled(self) -> Iterator[None]:
        """Take the device away for a while."""
        self.pull()
        try:
            yield
        finally:
            self.put_back()

    def pin_file(self, pin: str = PIN, *, name: str = "pin") -> Path:
        """Write a PIN into a private file, in place of the one before."""
        path = self._base / name
        path.write_text(f"{pin}\n", encoding="utf-8")
        path.chmod(0o600)
        return path

    def settings(self, label: str, *, timeout_s: float = 30.0) -> TokenSettings:
        """Return where a token is."""
        return TokenSettings(
            module=MODULE,
            label=label,
            pin_file=self.pin_file(name=f"pin-{label}"),
            refused_file=self._base / f"refused-{label}",
            timeout_s=timeout_s,
        )

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            ["softhsm2-util", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
