"""The last release in containers, upgraded one node after the other while agencies post all the time.

Homes and image are the last release's own. The steps run in this order; the last but one
counts, and the last one loses a disk.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.keyring.backupkey import make_backup_key
from gateway.keyring.demo import NODES
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import read_passphrase_file
from tests.acceptance.engine import build_image, run
from tests.acceptance.stack import HOME, ROOT, Stack
from tests.acceptance.verdict import count, verify_logs
from tests.releases import Installed, install, last_release

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1_200)]


COUNT = """\
import json, sqlite3, sys
database = sqlite3.connect(f"file:{sys.argv[1]}/data/gateway.db?mode=ro", uri=True)
print(json.dumps({"messages": database.execute("SELECT count(*) FROM messages").fetchone()[0]}))
"""
LOSE = """\
import pathlib, sys
for path in pathlib.Path(sys.argv[1], "data").glob("gateway.db*"):
    path.unlink()
"""


@pytest.fixture(scope="module")
def old() -> Installed:
    """Install the last release, which makes the homes."""
    return install(last_release())


@pytest.fixture(scope="module")
def old_image(old: Installed, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the image of the last release from its own files."""
    context = tmp_path_factory.mktemp("release")
    tree = shutil.copytree(old.tree, context / "tree")
    # Most wheels are the same as today's, and are not fetched again.
    wheels = shutil.copytree(ROOT / "var" / "wheelhouse", tree / "var" / "wheelhouse")
    run(ROOT / "scripts" / "wheelhouse", tree / "requirements.lock", wheels, timeout=600)
    name = f"{image}-{old.release.version}"
    build_image(tree, name)
    yield name
    run("docker", "image", "rm", "--force", name, check=False)


@pytest.fixture(scope="module")
def pair(old: Installed, old_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring both nodes of the last release up."""
    made = Stack(tmp_path_factory.mktemp("pair"), image=old_image, release=old)
    try:
        made.up()
        yield made
    finally:
        made.down()


def test_the_last_release_exchanges_messages(pair: Stack) -> None:
    pair.until_traffic_flows()


def test_a_node_is_upgraded_while_its_peer_is_away_and_messages_wait(pair: Stack, image: str) -> None:
    assert pair.stop("US") == 0
    mark = len(pair.sent("FR"))
    pair.until(lambda: len(pair.sent("FR")) > mark + 8, "the French node accepts while its peer is away")
    pair.replace("FR", image)
    pair.until_peer("FR", reachable=False)


def test_nodes_of_two_releases_understand_each_other(pair: Stack) -> None:
    pair.start("US")
    for nation in NODES:
        pair.until_healthy(nation)
    pair.until_traffic_flows()


def test_a_node_that_was_killed_is_upgraded(pair: Stack, image: str) -> None:
    os.kill(pair.inspect("US")["State"]["Pid"], signal.SIGKILL)
    pair.replace("US", image)
    pair.until_healthy("US")
    pair.until_traffic_flows()


def test_nothing_was_lost_nothing_came_twice_and_all_logs_verify(pair: Stack, tmp_path: Path) -> None:
    count(pair, at_least=10)
    verify_logs(pair, tmp_path)


def test_a_node_whose_database_is_lost_is_restored_as_the_runbook_says(pair: Stack, tmp_path: Path) -> None:
    media, phrases, backup = tmp_path / "media", tmp_path / "phrases", tmp_path / "fr-1"
    for folder in (media, phrases):
        folder.mkdir()
    (phrases / "backup").touch(mode=0o600)
    (phrases / "backup").write_text("a passphrase of the backup key\n")

    def make_key(homes: Mapping[str, NodeHome]) -> None:
        home = homes["FR"]
        keys = KeyFolder.open(home.keys, passphrase=read_passphrase_file(home.passphrase), allow_test=True)
        make_backup_key(
            home,
            keys,
            media / "backup-key",
            node=NODES["FR"],
            passphrase=read_passphrase_file(phrases / "backup"),
            now=datetime.now(UTC),
        )

    pair.as_owner(make_key)
    if os.geteuid() == 0:
        for path in (media, phrases, *media.rglob("*"), *phrases.rglob("*")):
            os.chown(path, pair.owner, pair.owner)
    # Both first: a node is not ready before it has asked its peer how far its log is known.
    for nation in NODES:
        pair.start(nation)
    for nation in NODES:
        pair.until_healthy(nation)
    pair.piped(
        "exec", "-T", "fr", "entente", "backup", "-", "--home", HOME, "--reason", "daily", target=backup
    )
    held = pair.python("FR", COUNT, HOME)
    assert held["messages"] > 20

    assert pair.stop("FR") == 0
    pair.piped("run", "--rm", "-T", "--no-deps", "--entrypoint", "python", "fr", "-c", LOSE, HOME)
    pair.piped(
        *(
            "run",
            "--rm",
            "-T",
            "--no-deps",
            "-v",
            f"{media}:/media:ro",
            "-v",
            f"{phrases}:/run/phrases:ro",
            "fr",
        ),
        *("restore", "-", "--home", HOME, "--key", "/media/backup-key"),
        *("--passphrase-file", "/run/phrases/backup", "--reason", "disk lost"),
        source=backup,
    )
    pair.start("FR")
    pair.until_healthy("FR")
    for nation in NODES:
        pair.until_peer(nation, reachable=True)
    assert pair.python("FR", COUNT, HOME) == held
