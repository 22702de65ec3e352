"""The configuration that a new home begins with.

Only what has no default is written: names, addresses and where the passphrase is. What each
key means stands in `gateway.config`, which reads it.

Spec: docs/spec/keys.md, "Layout".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway.keyring.ceremony import NodePlan
from gateway.keyring.files import write_public
from gateway.keyring.home import NodeHome
from gateway.keyring.token import TokenSettings

DEFAULT_PORT_BASE: Final = 9_440
LOOPBACK: Final = "127.0.0.1"
PORT_OFFSETS: Final[Mapping[str, int]] = {"FR": 1, "US": 11}

_TEST_REMARK: Final = "# Made for the demo and for tests: every key below keys/ is a TEST key.\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where a node listens on the loopback interface.

    Attributes:
        agency: Agency API.
        peer: Peer link.
        operator: Operators and auditors.
    """

    agency: int
    peer: int
    operator: int

    @classmethod
    def from_base(cls, base: int, nation: str) -> Ports:
        """Return the ports of a nation: base + 1, 2, 3 for France, + 11, 12, 13 for America."""
        first = base + PORT_OFFSETS.get(nation, 1)
        return cls(agency=first, peer=first + 1, operator=first + 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """On which addresses the ports of a node listen; several are separated by commas.

    Attributes:
        agency: Of the agency API.
        peer: Of the peer link.
        operator: Of the operator port.
    """

    agency: str = LOOPBACK
    peer: str = LOOPBACK
    operator: str = LOOPBACK

    @classmethod
    def all_on(cls, address: str) -> Addresses:
        """Return one address for all three ports."""
        return cls(agency=address, peer=address, operator=address)


_ON_LOOPBACK: Final = Addresses()


def config_text(
    plan: NodePlan,
    ports: Ports,
    *,
    peer_url: str,
    addresses: Addresses = _ON_LOOPBACK,
    passphrase_file: str = "keys/passphrase",  # noqa: S107 - a path
    token: TokenSettings | None = None,
) -> str:
    """Return what stands in the ``gateway.toml`` of a new home.

    Args:
        plan: Names and mode.
        ports: Where it listens.
        peer_url: Base address of the peer's peer port.
        addresses: Where each port listens.
        passphrase_file: Absolute, or relative to the home.
        token: Where one half of the signing keys is, or None.
    """
    remark = _TEST_REMARK if plan.test else ""
    text = f"""\
{remark}[node]
name = {_quoted(plan.node)}
nation = {_quoted(plan.nation)}
mode = {_quoted("test" if plan.test else "production")}

[agency_api]
listen = {_quoted(f"{addresses.agency}:{ports.agency}")}

[peer_api]
listen = {_quoted(f"{addresses.peer}:{ports.peer}")}

[ops_api]
listen = {_quoted(f"{addresses.operator}:{ports.operator}")}

[peers.{plan.peer_nation}]
name = {_quoted(plan.peer_node)}
url = {_quoted(peer_url)}

[store]
url = "sqlite:///data/gateway.db"

[keys]
passphrase_file = {_quoted(passphrase_file)}
"""
    if token is not None:
        text += f"""
[keys.token]
module = {_quoted(str(token.module))}
label = {_quoted(token.label)}
pin_file = {_quoted(str(token.pin_file))}
"""
    return text


def write_config(home: NodeHome, text: str) -> None:
    """Write the ``gateway.toml`` of a home, replacing what is there."""
    write_public(home.config, text.encode())


def _quoted(text: str) -> str:
    """Return a TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False)
