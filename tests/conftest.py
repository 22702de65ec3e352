"""What every test relies on: repeatable examples, and tests that say what they need.

Profiles of hypothesis (``--hypothesis-profile NAME`` or HYPOTHESIS_PROFILE):

``fast``      the default: the same examples in every run, so a red run is red again
``thorough``  many random examples; a failure prints what repeats it
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog
import uvloop
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import HealthCheck, Verbosity, settings

from gateway.keyring import keyfile

ROOT = Path(__file__).resolve().parent.parent

# Deadlines per example are off: the machine is shared, and pytest-timeout bounds the whole test.
settings.register_profile(
    "fast",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    print_blob=True,
    verbosity=Verbosity.normal,
)
settings.register_profile(
    "thorough",
    derandomize=False,
    database=None,
    deadline=None,
    max_examples=2_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

# What a marker's tests need on the machine, and the package that brings it.
NEEDS = {
    "postgres": ("/usr/lib/postgresql/*/bin/initdb", "postgresql"),
    "docker": ("/usr/*bin/docker", "docker.io"),
    "browser": ("/usr/bin/chromium", "chromium"),
    "golang": ("/usr/share/gocode/src/golang.org/x/mod", "golang-go, golang-golang-x-mod-dev"),
    "nodejs": ("/usr/bin/npm", "nodejs, npm"),
    "prometheus": ("/usr/bin/promtool", "prometheus"),
    "hsm": ("/usr/bin/softhsm2-util", "softhsm2"),
}


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what is asynchronous in the loop of a node."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose server is missing; with CI=true it fails, so that nothing is skipped for ever."""
    for marker, (pattern, package) in NEEDS.items():
        if item.get_closest_marker(marker) is None or is_installed(pattern):
            continue
        reason = f"needs {Path(pattern).name} (package {package}); scripts/test --all installs it as root"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def is_installed(pattern: str) -> bool:
    """Tell whether a program is there, by its place or by its name on PATH."""
    return any(Path("/").glob(pattern.lstrip("/"))) or shutil.which(Path(pattern).name) is not None


class RememberingArgon2id:
    """The library's Argon2id, which takes a quarter of a second each time, once for each question.

    Most tests open again what they sealed themselves. What is asked for the first time is computed as ever.
    """

    _answers: ClassVar[dict[tuple[object, ...], bytes]] = {}

    def __init__(self, **parameters: Any) -> None:
        self._question = tuple(sorted(parameters.items()))
        self._library = Argon2id(**parameters)

    def derive(self, passphrase: bytes) -> bytes:
        question = (*self._question, passphrase)
        if question not in self._answers:
            self._answers[question] = self._library.derive(passphrase)
        return self._answers[question]


@pytest.fixture(scope="session", autouse=True)
def _derive_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyfile, "Argon2id", RememberingArgon2id)
        yield


@pytest.fixture(autouse=True)
def _logs_are_left_as_they_were() -> Iterator[None]:
    """Name the test that runs a node's `configure_logs` here: later ones would write to its closed file."""
    yield
    if structlog.get_config()["cache_logger_on_first_use"]:
        structlog.configure(cache_logger_on_first_use=False)
        pytest.fail("this test sets for all others where events go: give the node a process of its own")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Return the top of the tree."""
    return ROOT
