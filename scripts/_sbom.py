"""The bill of materials of the gateway, made from a lock and nothing else.

The lock pins every package with the digests of its files, so the bill needs neither an index
nor an installation, and holds no time and no random number: the same tree gives the same bytes.
What the lock does not say (licences, the packages of the base image) is not guessed.

Spec: CycloneDX 1.6, JSON; package-url, type ``pypi``.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PROPERTY: Final = "entente"
"""Properties of our own begin with this: which files of a package may be installed, and where."""

_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([A-Za-z0-9.!+_-]+)(?: ; (.+))?")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_RUN: Final = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package of a lock.

    Attributes:
        name: As the index spells it.
        version: The one that is installed.
        marker: On which machines; empty for all.
        hashes: SHA-256 of each file that may be installed, hexadecimal.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Return its package URL."""
        name = _RUN.sub("-", self.name).lower()
        return f"pkg:pypi/{name}@{self.version.replace('+', '%2B').replace('!', '%21')}"


def read_lock(text: str) -> list[Pin]:
    """Return every package of a lock.

    Raises:
        ValueError: A line is neither a pin nor its digests, or a pin has no digest.
    """
    pins: list[Pin] = []
    for statement in text.replace("\\\n", " ").splitlines():
        if not statement.strip() or statement.startswith("#"):
            continue
        pin, *options = re.split(r"\s+(?=--)", statement.strip())
        found = _PIN.fullmatch(pin.strip())
        hashes = [_HASH.fullmatch(option.strip()) for option in options]
        if found is None or not hashes or None in hashes:
            msg = f"not a pin with its SHA-256 digests: {pin}"
            raise ValueError(msg)
        name, version, marker = found.groups()
        digests = tuple(sorted(item[1] for item in hashes if item is not None))
        pins.append(Pin(name=name, version=version, marker=(marker or "").strip(), hashes=digests))
    return pins


def bill(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """Return the bill of materials as JSON.

    Args:
        lock: Text of the lock.
        project: The table ``[project]`` of pyproject.toml.
    """
    pins = sorted(read_lock(lock), key=lambda pin: (pin.purl, pin.marker))
    name, version = project["name"], project["version"]
    root = f"pkg:pypi/{name}@{version}"
    # Named by what it is made from, so that another lock or version has another number.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"{root}#{sha256(lock.encode()).hexdigest()}")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "version": version,
                "description": project["description"],
                "licenses": [{"license": {"id": project["license"]}}],
                "purl": root,
            }
        },
        "components": [_component(pin) for pin in pins],
        # A lock is flat: what needs what is the business of the packages. All of it is installed.
        "dependencies": [{"ref": root, "dependsOn": [pin.purl for pin in pins]}],
    }


def main(arguments: Sequence[str]) -> None:
    """Print the bill of a lock."""
    (lock,) = arguments
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    made = bill((ROOT / lock).read_text(encoding="utf-8"), project)
    sys.stdout.write(json.dumps(made, indent=2, ensure_ascii=False) + "\n")


def _component(pin: Pin) -> dict[str, Any]:
    properties = [{"name": f"{PROPERTY}:file-sha256", "value": digest} for digest in pin.hashes]
    if pin.marker:
        properties.append({"name": f"{PROPERTY}:marker", "value": pin.marker})
    return {
        "type": "library",
        "bom-ref": pin.purl,
        "name": pin.name,
        "version": pin.version,
        "purl": pin.purl,
        "properties": properties,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
