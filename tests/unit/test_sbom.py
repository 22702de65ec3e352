"""The bill of materials names every package of the lock, with every digest, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from scripts._sbom import read_lock

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")


def written(*arguments: str, **environment: str) -> str:
    """Return what the program prints."""
    return subprocess.run(
        [str(ROOT / "scripts" / "sbom"), *arguments],
        cwd="/",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module", params=LOCKS)
def pair(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Return the text of a lock, and its bill."""
    return (ROOT / request.param).read_text(encoding="utf-8"), json.loads(written(request.param))


def test_every_package_of_the_lock_is_a_component_and_no_other(pair: tuple[str, dict[str, Any]]) -> None:
    lock, bill = pair
    # Read by another way than the program reads it.
    pins = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE)
    assert len(pins) > 30

    assert sorted((item["name"], item["version"]) for item in bill["components"]) == sorted(pins)
    purls = {f"pkg:pypi/{canonicalize_name(name)}@{version}" for name, version in pins}
    assert {item["purl"] for item in bill["components"]} == purls
    assert set(bill["dependencies"][0]["dependsOn"]) == purls


def test_every_digest_of_the_lock_stands_in_the_bill(pair: tuple[str, dict[str, Any]]) -> None:
    lock, bill = pair
    digests = [
        item["value"]
        for component in bill["components"]
        for item in component["properties"]
        if item["name"] == "entente:file-sha256"
    ]

    assert sorted(digests) == sorted(re.findall(r"sha256:([0-9a-f]{64})", lock))
    assert all(component["properties"] for component in bill["components"])


def test_a_bill_has_the_form_of_cyclonedx_and_says_what_it_is_of(pair: tuple[str, dict[str, Any]]) -> None:
    bill = pair[1]
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", bill["serialNumber"])
    root = bill["metadata"]["component"]
    assert (root["name"], root["type"]) == ("entente", "application")
    references = [root["bom-ref"], *(item["bom-ref"] for item in bill["components"])]
    assert len(references) == len(set(references))


def test_the_same_tree_gives_the_same_bytes_and_no_address_of_an_index() -> None:
    bill = written()

    assert bill == written("requirements.lock", TZ="Asia/Tokyo", PYTHONHASHSEED="7", LC_ALL="C")
    addresses = set(re.findall(r"https?://[^\"]+", bill))
    assert addresses == {"http://cyclonedx.org/schema/bom-1.6.schema.json"}


@pytest.mark.parametrize(
    "line",
    [
        "aiohttp>=3",
        "aiohttp==3.14.5",
        "aiohttp==3.14.5 --hash=md5:00",
        "--index-url https://index.example/simple",
        "aiohttp @ https://files.example/aiohttp.whl --hash=sha256:" + "0" * 64,
    ],
)
def test_a_lock_that_does_not_pin_a_package_with_its_digests_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not a pin"):
        read_lock(line + "\n")
