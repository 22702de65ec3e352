"""`entente doctor`: look at everything that a node stands on, and say what to do.

Each check looks at one thing, changes nothing, and ends with one finding; a check that
cannot be made is a failed one. Beside a running node or without one, on the node's machine
and as the node's user, because it opens the keys.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from gateway.app import Opened
from gateway.app import open_home as open_node
from gateway.catalogue import read_lists
from gateway.cli.health import ask_health
from gateway.cli.home_logs import open_home as open_logs
from gateway.cli.init import now
from gateway.config import load_config, resolve
from gateway.core.entries import AgreementEntry, Kind, decode_entry
from gateway.core.generation import first_of, generation_of
from gateway.core.message.reference_lists import ReferenceLists, absent, stale
from gateway.core.message.warning import LISTS
from gateway.errors import GatewayError
from gateway.keyring.files import read_public
from gateway.keyring.home import NodeHome, audit_origin
from gateway.keyring.tls import peer_client
from gateway.keyring.tls_group import HYBRID_GROUPS, negotiated_group
from gateway.keyring.trust import crl_next_update, read_certificate, read_published_as_stated
from gateway.keyring.x509_profile import Authority
from gateway.link.client import HttpPeerLink
from gateway.ports import LogKind, PeerView, Transaction

CERTIFICATE_WARNING: Final = timedelta(days=30)
LIST_WARNING: Final = timedelta(days=3)
CLOCK_TOLERANCE: Final = timedelta(seconds=2)
DISK_WARNING_BYTES: Final = 2**30
DISK_FAILURE_BYTES: Final = 64 * 2**20


_WHEN_REFUSED: Final = {
    "keys": "docs/keys.md, When something goes wrong",
    "certificates": "docs/keys.md, When something goes wrong",
    "revocation lists": "docs/keys.md, When something goes wrong",
    "reference lists": "mend or remove the file: the list of the installation counts again",
    "database": "entente log list says more; keep the files as they are",
    "peer": "ask the peer's operators whether their node runs; check address, line and revocation lists",
}
"""What to do when a check is refused what it wants to look at."""


class State(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at.
        state: Good, soon bad, or bad.
        says: How it is.
        do: What the operator does about it; empty if nothing.
    """

    check: str
    state: State
    says: str
    do: str = ""


def doctor_command(
    home: Annotated[Path, typer.Option("--home", help="Node home, the folder with gateway.toml.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check configuration, keys, certificates, clock, disk, database, agreement, node and peer.

    One line each: ok, warn or fail, and what to do. Exit status 1 if anything failed.

    Example: entente doctor --home var/demo/fr
    """
    findings = []
    for finding in examine(home, now=now()):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{finding.state:<5} {finding.check:<17} {finding.says}")
            if finding.do:
                typer.echo(f"{'':<24}{finding.do}")
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(1)


def examine(path: Path, *, now: datetime) -> Iterator[Finding]:
    """Yield what each check finds; without a configuration there is nothing else to look at.

    Args:
        path: Node home.
        now: Aware time.
    """
    home = NodeHome(path=path)
    configuration = _checked("configuration", lambda: _configuration(path))
    yield configuration
    if configuration.state is State.FAIL:
        return
    checks: dict[str, Callable[[], Finding]] = {
        "keys": lambda: _keys(home),
        "certificates": lambda: _certificates(home, now),
        "revocation lists": lambda: _lists(home, now),
        "reference lists": lambda: _reference_lists(path, now),
        "disk": lambda: _disk(path),
        "database": lambda: _database(path),
        "clock": lambda: _clock(path, now),
        "agreement": lambda: _agreement(path),
        "node": lambda: _node(home),
        "peer": lambda: _peer(path),
    }
    for name, check in checks.items():
        yield _checked(name, check)


def _checked(name: str, check: Callable[[], Finding]) -> Finding:
    """Return what a check finds; a refusal is a finding too, in the words of whoever refused."""
    try:
        return check()
    except GatewayError as error:
        says = f"{error} [{error.code}]"
    except OSError as error:
        says = error.strerror or type(error).__name__
    return Finding(check=name, state=State.FAIL, says=says, do=_WHEN_REFUSED.get(name, ""))


def _configuration(path: Path) -> Finding:
    config = load_config(path)
    return Finding(
        check="configuration",
        state=State.OK,
        says=f"{config.node.name} of {config.node.nation}, mode {config.node.mode}, peer {config.peer.name}",
    )


def _keys(home: NodeHome) -> Finding:
    opened = open_node(home.path)
    statement = read_published_as_stated(home.own).statement
    says = f"all open; key statement version {statement.version}"
    if statement.test:
        does = "never let anything but test messages through these keys"
        return Finding(check="keys", state=State.WARN, says=f"{says}; TEST keys", do=does)
    return Finding(check="keys", state=State.OK, says=f"{says} of {opened.keyring.node}")


def _certificates(home: NodeHome, now: datetime) -> Finding:
    paths = [home.own.authority(kind.value) for kind in Authority]
    paths += [home.own.peer_chain, home.own.server_chain]
    ends = {path.name: read_certificate(path).not_valid_after_utc for path in paths}
    does = "entente keys rotate tls-peer and tls-server; a new authority needs the root (docs/keys.md)"
    return _ending("certificates", ends, now=now, warning=CERTIFICATE_WARNING, does=does)


def _lists(home: NodeHome, now: datetime) -> Finding:
    paths = [home.own.crl(kind.value) for kind in Authority]
    paths.append(home.peer.crl(Authority.NODES.value))
    ends = {f"{path.parent.name}/{path.name}": crl_next_update(read_public(path)) for path in paths}
    does = "own: entente keys rotate crl; the peer's: import its export (docs/keys.md, Every week)"
    return _ending("revocation lists", ends, now=now, warning=LIST_WARNING, does=does)


def _ending(
    check: str, ends: dict[str, datetime], *, now: datetime, warning: timedelta, does: str
) -> Finding:
    """Return a finding about the file that runs out first."""
    first = min(ends, key=lambda name: ends[name])
    says = f"{first} ends first, {ends[first]:%Y-%m-%d %H:%M}Z"
    if ends[first] <= now:
        says = f"{first} has run out, {ends[first]:%Y-%m-%d %H:%M}Z: everybody is refused"
        return Finding(check=check, state=State.FAIL, says=says, do=does)
    if ends[first] - now < warning:
        return Finding(check=check, state=State.WARN, says=says, do=does)
    return Finding(check=check, state=State.OK, says=says)


def _reference_lists(path: Path, now: datetime) -> Finding:
    return list_finding(read_lists(resolve(path, load_config(path).lists.folder)), today=now.date())


def list_finding(lists: ReferenceLists, *, today: date) -> Finding:
    """Return what these lists are worth on a day; none of it refuses a message."""
    missing, old = absent(lists, LISTS), stale(lists, today=today)
    says = ", ".join(f"{name} {lists[name].edition.name}" for name in sorted(lists)) or "none"
    if not missing and not old:
        return Finding(check="reference lists", state=State.OK, says=says)
    says += "".join(f"; {name} is not there" for name in missing)
    says += "".join(f"; {name} is old" for name in old)
    does = "put a newer NAME.json into the folder of lists; nothing is refused (docs/reference-lists.md)"
    return Finding(check="reference lists", state=State.WARN, says=says, do=does)


def _disk(path: Path) -> Finding:
    high_water = resolve(path, load_config(path).store.high_water_file).parent
    return disk_finding(
        min(shutil.disk_usage(folder).free for folder in (NodeHome(path=path).data, high_water))
    )


def disk_finding(free: int) -> Finding:
    """Return what so many free bytes mean."""
    says = f"{free / 2**20:,.0f} MiB free"
    does = "make room: a node whose disk is full accepts nothing and stops"
    if free < DISK_FAILURE_BYTES:
        return Finding(check="disk", state=State.FAIL, says=says, do=does)
    if free < DISK_WARNING_BYTES:
        return Finding(check="disk", state=State.WARN, says=says, do=does)
    return Finding(check="disk", state=State.OK, says=says)


def _database(path: Path) -> Finding:
    with open_logs(path) as logs:
        heads = {log.head.origin: log.head.size for log in logs.stored()}
        # Of the peer's audit log this node holds checkpoints and no entries.
        witnessed = audit_origin(logs.config.peer.name)
    # What the high-water file knows was signed or cosigned; a database that lacks it is an old one.
    behind = [
        origin
        for origin, (size, _) in logs.marks.items()
        if size > heads.get(origin, 0) and first_of(origin) != witnessed and not _is_closed(origin, heads)
    ]
    if behind:
        says = f"older than what this node has signed: {', '.join(sorted(behind))}"
        does = "start the node: it refills its log from the peer before it signs; find out why"
        return Finding(check="database", state=State.FAIL, says=says, do=does)
    says = f"{len(heads)} logs, nothing missing; entente audit verify checks every entry"
    return Finding(check="database", state=State.OK, says=says)


def _is_closed(origin: str, heads: Mapping[str, int]) -> bool:
    """Return whether a later generation of a log is there: what the earlier one lacks is lost and said."""
    first = first_of(origin)
    return any((generation_of(first, other) or 0) > (generation_of(first, origin) or 0) for other in heads)


def _clock(path: Path, now: datetime) -> Finding:
    with open_logs(path) as logs:
        times = [log.newest.at_ms for log in logs.stored() if log.newest is not None]
    ahead = timedelta(milliseconds=max(times, default=0)) - timedelta(seconds=now.timestamp())
    if ahead > CLOCK_TOLERANCE:
        says = f"{ahead.total_seconds():,.0f} s behind the newest note in the logs"
        does = "compare both nodes' clocks with a time service; over 5 minutes messages are refused"
        return Finding(check="clock", state=State.FAIL, says=says, do=does)
    return Finding(
        check="clock", state=State.OK, says=f"{now:%Y-%m-%d %H:%M:%S}Z, not behind any signed note"
    )


def _agreement(path: Path) -> Finding:
    def load(tx: Transaction) -> dict[LogKind, dict[str, bytes]]:
        newest = {head.kind: tx.logs.newest_control(head.origin, Kind.AGREEMENT) for head in tx.logs.heads()}
        entries = {kind: decode_entry(control[1]) for kind, control in newest.items() if control is not None}
        return {kind: dict(item.types) for kind, item in entries.items() if isinstance(item, AgreementEntry)}

    with open_logs(path) as logs:
        stated = logs.read(load)
    own, peers = stated.get(LogKind.EXCHANGE), stated.get(LogKind.MIRROR)
    if own is None or peers is None:
        says = "not stated by both nodes yet: they have not met"
        return Finding(check="agreement", state=State.WARN, says=says, do="see node and peer below")
    differing = sorted(name for name in own.keys() | peers.keys() if own.get(name) != peers.get(name))
    if differing:
        says = f"differs in {', '.join(differing)}: these types are refused"
        does = "bring both nodes to the same release, or the same schemas"
        return Finding(check="agreement", state=State.WARN, says=says, do=does)
    return Finding(check="agreement", state=State.OK, says=f"the same {len(own)} types on both sides")


def _node(home: NodeHome) -> Finding:
    try:
        answer = ask_health(home.health_socket)
    except (OSError, ValueError):
        does = f"entente serve --home {home.path}; its last line says why it stopped"
        return Finding(check="node", state=State.FAIL, says="does not run", do=does)
    says = f"{answer['phase']}, {answer['waiting']} messages waiting to be sent"
    if answer["status"] != "ready":
        does = "starting, recovering: wait for the peer; frozen: docs/operating.md, pair.frozen"
        return Finding(check="node", state=State.FAIL, says=says, do=does)
    return Finding(check="node", state=State.OK, says=says)


def _peer(path: Path) -> Finding:
    opened = open_node(path)
    config, keyring = opened.config, opened.keyring
    address = urlsplit(config.peer.url)
    context = peer_client(opened.home, keyring.peer_identity())
    group = negotiated_group(
        address.hostname or "", address.port or 443, context, server_hostname=config.peer.name
    )
    view = asyncio.run(_view(opened))
    says = f"{config.peer.name} answers, mirrors {view.mirrored_size:,} of our entries; TLS group {group}"
    if group not in HYBRID_GROUPS:
        does = "the line is not post-quantum (content is): OpenSSL 3.5 or newer on both sides"
        return Finding(check="peer", state=State.WARN, says=says, do=does)
    return Finding(check="peer", state=State.OK, says=says)


async def _view(opened: Opened) -> PeerView:
    """Ask the peer what it holds, with the pinned key checked as the node does."""
    link = HttpPeerLink(
        url=opened.config.peer.url,
        context=peer_client(opened.home, opened.keyring.peer_identity()),
        pins=opened.keyring.peer_pins,
        server_name=opened.config.peer.name,
    )
    async with link:
        return await link.view()
