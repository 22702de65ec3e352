"""A verifier of evidence in another language gives the same verdict on every file.

`tests/foreign/js/evidence.mjs` shares no code with ours; its signatures are those of the npm
packages @noble, which the test installs.
"""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.evidence import verify_evidence
from gateway.audit.trust import parse_trust
from gateway.core.archive import read_archive, write_archive
from gateway.core.evidence import MAX_EVIDENCE_BYTES
from gateway.core.evidence_text import LISEZMOI, README
from tests.unit.audit.evidence_making import forgeries, variants
from tests.unit.audit.making import FR, US, root_vkeys, vkeys

pytestmark = [pytest.mark.nodejs, pytest.mark.timeout(900)]

SOURCES = Path(__file__).parent.parent / "foreign/js"
ALTERED = 400


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("js")
    for source in SOURCES.iterdir():
        shutil.copy(source, folder)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "evidence.mjs"


def altered(rng: random.Random, data: bytes) -> bytes:
    """Return a file that somebody has altered: in a byte, in a member, in their order."""
    members = list(read_archive(data, max_bytes=MAX_EVIDENCE_BYTES))
    place = rng.randrange(len(members))
    name, content = members[place]
    match rng.randrange(8):
        case 0 | 1:
            at = rng.randrange(len(data))
            return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        case 2 | 3:
            at = rng.randrange(len(content))
            content = content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
            members[place] = (name, content)
        case 4:
            del members[place]
        case 5:
            members[place] = (name, content[: rng.randrange(len(content))])
        case 6:
            other = rng.randrange(len(members))
            members[place], members[other] = (name, members[other][1]), (members[other][0], content)
        case _:
            lines = content.split(b"\n")
            line = rng.randrange(len(lines))
            del lines[line]
            members[place] = (name, b"\n".join(lines))
    return write_archive(members)


def test_both_verifiers_give_the_same_verdict_on_hundreds_of_files(program: Path, tmp_path: Path) -> None:
    rng = random.Random("evidence")  # noqa: S311
    good = [evidence.encode() for evidence in variants().values()]
    files = [*good, *(evidence.encode() for evidence in forgeries().values())]
    files += [altered(rng, rng.choice(good)) for _ in range(ALTERED)]
    paths = []
    for number, data in enumerate(files):
        paths.append(tmp_path / f"{number}.zip")
        paths[-1].write_bytes(data)
    own = [line for node in (FR, US) for number in (1, 2) for line in vkeys(node, number)]
    roots = [line for node in (FR, US) for line in root_vkeys(node)]
    # Also for who knows that the French have replaced the root that vouches in these files.
    for lines in (roots, [*root_vkeys(FR), *root_vkeys(FR, 2), *root_vkeys(US)], own):
        keys = tmp_path / "keys"
        keys.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        found = answers(program, keys, paths)
        verified = 0
        for path, data, theirs in zip(paths, files, found, strict=True):
            ours = verify_evidence(data, trust=parse_trust(lines))
            assert theirs["verdict"] == ours.headline.split(" evidence")[0], (
                path.name,
                theirs,
                ours.headline,
            )
            if ours.is_verified:
                verified += 1
                assert ", ".join(theirs["proven"]) == ours.headline.partition(": ")[2]
                message = theirs["message"]
                assert ours.message == (None if message is None else base64.b64decode(message))
        assert len(good) <= verified < len(files) / 2


def answers(program: Path, keys: Path, paths: list[Path]) -> list[dict[str, Any]]:
    command = ["node", program.name, *map(str, (keys, *paths))]
    found = subprocess.run(command, cwd=program.parent, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_the_other_verifier_knows_the_instructions_by_their_digests() -> None:
    source = (SOURCES / "evidence.mjs").read_text(encoding="utf-8")
    for text in (README, LISEZMOI):
        assert sha256(text).hexdigest() in source
