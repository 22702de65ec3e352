"""Test keys for both nations in the places where docker-compose.yml looks for them.

The homes are those of the demo, but each node listens on the addresses that the compose
networks give it, and finds its peer by name. `.env` tells compose whose files they are:
key files are for one user alone, and file secrets keep their owner in a container.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from gateway.errors import GatewayError
from gateway.keyring.config_file import DEFAULT_PORT_BASE, Addresses, Ports
from gateway.keyring.demo import NODES, Place, make_homes
from gateway.keyring.home import NodeHome
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.trust import read_published_as_stated

ROOT = Path(__file__).resolve().parent.parent
CONTAINER_UID = 10_001


def compose_place(node: str) -> Place:
    """Return where a node is among the networks of docker-compose.yml.

    Each of the names below is an alias in one network, so it resolves to the node's address
    there, and a port that listens on it is open in that network and in no other.
    """
    return Place(
        addresses=Addresses(
            agency=f"agencies.{node},host.{node}",
            peer=f"peer.{node}",
            operator=f"operators.{node},host.{node}",
        ),
        host=node,
    )


def make_compose_homes(base: Path, *, now: datetime) -> int:
    """Make or renew both homes and return the user that owns them.

    Args:
        base: Folder of both homes.
        now: Aware time.

    Raises:
        CeremonyError: A home is there that was not made for tests.
        KeyFileError: A home is there, and its keys are refused.
        TrustError: A home is there, and its files do not fit together.
    """
    homes = [NodeHome(path=base / nation.lower()) for nation in NODES]
    for home in homes:
        if home.keys.exists() and not read_published_as_stated(home.own).statement.test:
            msg = f"{home.path} is not a test home: nothing was touched"
            raise CeremonyError(msg)
    user = os.geteuid()
    owner = user or CONTAINER_UID
    try:
        # Key files are refused to anybody but their owner, so they are ours while we work on them.
        give(homes, user)
        make_homes(
            base,
            ports={nation: Ports.from_base(DEFAULT_PORT_BASE, nation) for nation in NODES},
            now=now,
            places={nation: compose_place(node) for nation, node in NODES.items()},
        )
    finally:
        give(homes, owner)
    return owner


def write_environment(path: Path, values: dict[str, str]) -> None:
    """Set values in a file that compose reads, and keep its other lines."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if line.partition("=")[0] not in values]
    made = [f"{name}={value}" for name, value in values.items()]
    path.write_text("\n".join([*kept, *made]) + "\n", encoding="utf-8")


def give(homes: Iterable[NodeHome], owner: int) -> None:
    """Let a user own homes; only root can give, and nobody else has to."""
    if os.geteuid() != 0:
        return
    for home in homes:
        for path in (home.path, *home.path.rglob("*")):
            if path.exists():
                os.chown(path, owner, owner, follow_symlinks=False)


def main() -> int:
    """Make keys and environment; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/dev-keys")
    parser.add_argument("--home", help="folder of both homes (default keys)")
    parser.add_argument("--caller-dir", default=".", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    base = (Path(arguments.caller_dir) / arguments.home).resolve() if arguments.home else ROOT / "keys"
    try:
        owner = make_compose_homes(base, now=datetime.now(UTC))
    except GatewayError as error:
        print(f"scripts/dev-keys: {error}", file=sys.stderr)
        return 1
    group = os.getegid() or CONTAINER_UID
    environment = {"ENTENTE_UID": str(owner), "ENTENTE_GID": str(group)}
    if base != ROOT / "keys":
        environment |= {
            "ENTENTE_HOMES": str(base),
            "ENTENTE_FR_PASSPHRASE_FILE": str(NodeHome(path=base / "fr").passphrase),
            "ENTENTE_US_PASSPHRASE_FILE": str(NodeHome(path=base / "us").passphrase),
        }
    write_environment(ROOT / ".env", environment)
    print(f"Test keys of both nations: {base / 'fr'}, {base / 'us'}; .env names user {owner} as their owner.")
    print("Next: docker compose up -d --build")
    return 0


if __name__ == "__main__":
    sys.exit(main())
