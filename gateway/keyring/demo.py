"""Homes of both nations for the demo and for tests: everything made, everything marked.

``<base>/fr`` and ``<base>/us`` are complete: keys with their passphrases beside them, the
authority inside the home, certificates and plain keys of every agency, an operator and an
auditor, trust exchanged both ways, and a configuration, on the loopback interface unless
told otherwise. Each of these would be a mistake in production, and the test mark makes
production refuse them all.

Spec: docs/spec/keys.md, "Test homes".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from gateway.keyring.ceremony import (
    NodePlan,
    Passphrases,
    ServerNames,
    hold_ceremony,
    open_authorities,
    publish_crls,
)
from gateway.keyring.certificates import crl_next_update, read_certificate
from gateway.keyring.config_file import (
    DEFAULT_PORT_BASE,
    LOOPBACK,
    Addresses,
    Ports,
    config_text,
    write_config,
)
from gateway.keyring.files import make_private_folder
from gateway.keyring.holders import NewHolder, issue_test_holders
from gateway.keyring.home import NodeHome
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import read_passphrase_file, write_generated_passphrase
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.registry import Role
from gateway.keyring.rotation import renew_node_certificates
from gateway.keyring.token import TokenSettings
from gateway.keyring.trust import import_peer, read_published_as_stated
from gateway.keyring.x509_profile import Authority

NODES: Final[Mapping[str, str]] = {"FR": "fr.gateway.test", "US": "us.gateway.test"}
AGENCIES: Final[Mapping[str, Sequence[str]]] = {
    "FR": (
        "FR.DGDDI",
        "FR.DGDDI.DNGCD",
        "FR.DGDDI.DNRED",
        "FR.DGDDI.SARC",
        "FR.ONAF",
        "FR.SCL",
    ),
    "US": ("US.CBP", "US.CBP.AMO", "US.CBP.LSS", "US.CBP.NTC", "US.CBP.OT", "US.ICE.HSI"),
}
"""Agency codes of the catalogue (schemas: code list AGENCY), by nation."""
OPERATORS: Final[Mapping[str, Role]] = {"OPERATOR": Role.OPERATOR, "AUDITOR": Role.AUDITOR}
RENEW_CRL_BEFORE: Final = timedelta(days=4)
RENEW_CERTIFICATE_BEFORE: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node of the pair is.

    Attributes:
        addresses: On which addresses its ports listen.
        host: Under which address or name its peer finds it.
    """

    addresses: Addresses = field(default_factory=Addresses)
    host: str = LOOPBACK


_HERE: Final = Place()


def make_demo_homes(base: Path, *, now: datetime, port_base: int = DEFAULT_PORT_BASE) -> dict[str, NodeHome]:
    """Make both homes, or renew what is running out in homes that are there.

    Args:
        base: Folder of both homes, ``fr`` and ``us``.
        now: Aware time, the present.
        port_base: Ports are derived from it; the configuration is written anew each time.

    Returns:
        The homes by nation.

    Raises:
        KeyFileError: A home exists, and its keys are refused.
        TrustError: A home exists, and its files do not fit together.
        CeremonyError: A home was begun and not finished.
    """
    ports = {nation: Ports.from_base(port_base, nation) for nation in NODES}
    return make_homes(base, ports=ports, now=now)


def make_homes(
    base: Path, *, ports: Mapping[str, Ports], now: datetime, places: Mapping[str, Place] | None = None
) -> dict[str, NodeHome]:
    """Make or renew both homes with given ports; see `make_demo_homes`.

    Args:
        base: Folder of both homes.
        ports: By nation.
        now: Aware time.
        places: By nation; both on the loopback interface if None.
    """
    places = places or dict.fromkeys(NODES, _HERE)
    homes = {nation: NodeHome(path=base / nation.lower()) for nation in NODES}
    for nation, home in homes.items():
        if is_complete(home):
            renew_test_home(home, now=now)
        elif home.keys.exists():
            msg = f"{home.path} is only half made; remove it and begin again"
            raise CeremonyError(msg)
        else:
            make_test_home(home, plan_for(nation), now=now)
        peer = _peer_of(nation)
        write_config(
            home,
            config_text(
                plan_for(nation),
                ports[nation],
                peer_url=f"https://{places[peer].host}:{ports[peer].peer}",
                addresses=places[nation].addresses,
            ),
        )
    for nation, home in homes.items():
        import_peer(home, read_published_as_stated(homes[_peer_of(nation)].own))
    return homes


def make_test_home(
    home: NodeHome, plan: NodePlan, *, now: datetime, token: TokenSettings | None = None
) -> str:
    """Make a home with its authority, passphrases and certificates; return the record."""
    make_private_folder(home.keys)
    make_private_folder(home.authority.path)
    make_private_folder(home.authority.root)
    make_private_folder(home.authority.issuing)
    passphrases = Passphrases(
        node=write_generated_passphrase(home.passphrase),
        root=write_generated_passphrase(home.authority.root_passphrase),
        issuing=write_generated_passphrase(home.authority.issuing_passphrase),
    )
    made = hold_ceremony(home, home.authority, plan, passphrases, now=now, token=token)
    agencies = [NewHolder(code=code, role=Role.AGENCY) for code in AGENCIES.get(plan.nation, ())]
    operators = [NewHolder(code=name, role=role) for name, role in OPERATORS.items()]
    issue_test_holders(home, made.authorities[Authority.AGENCIES], agencies, now=now)
    issue_test_holders(home, made.authorities[Authority.OPERATORS], operators, now=now)
    return made.record


def renew_test_home(home: NodeHome, *, now: datetime) -> bool:
    """Issue new revocation lists and node certificates if the old ones run out soon.

    Returns:
        Whether anything was issued. Nothing is opened otherwise, so this is cheap.
    """
    ends = [crl_next_update(home.own.crl(kind).read_bytes()) for kind in Authority]
    chains = [read_certificate(path) for path in (home.own.peer_chain, home.own.server_chain)]
    lists_due = min(ends) - now < RENEW_CRL_BEFORE
    certificates_due = min(chain.not_valid_after_utc for chain in chains) - now < RENEW_CERTIFICATE_BEFORE
    if not lists_due and not certificates_due:
        return False
    statement = read_published_as_stated(home.own).statement
    authorities = open_authorities(
        home,
        home.authority,
        read_passphrase_file(home.authority.issuing_passphrase),
        nation=statement.nation,
    )
    publish_crls(home, authorities, now=now)
    if certificates_due:
        folder = KeyFolder.open(home.keys, passphrase=read_passphrase_file(home.passphrase), allow_test=True)
        renew_node_certificates(home, folder, authorities[Authority.NODES], now=now)
    return True


def plan_for(nation: str) -> NodePlan:
    """Return the plan of a demo node."""
    peer = _peer_of(nation)
    return NodePlan(
        nation=nation,
        node=NODES[nation],
        peer_nation=peer,
        peer_node=NODES[peer],
        test=True,
        names=ServerNames(dns_names=("localhost",), addresses=(IPv4Address(LOOPBACK),)),
    )


def is_complete(home: NodeHome) -> bool:
    """Return whether making this home came to its end: its configuration is written last."""
    return home.config.exists()


def _peer_of(nation: str) -> str:
    return next(other for other in NODES if other != nation)
