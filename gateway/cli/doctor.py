"""`entente doctor`: look at everything that a node stands on, and say what to do.

Each check looks at one thing, changes nothing, and ends with one finding; a check that
cannot be made is a failed one. Beside a running node or without one, on the node's machine
and as the node's user, because it opens the keys.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer

from gateway.app import Opened, written_folders
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
from gateway.keyring.expiry import Ending, Sort, endings
from gateway.keyring.home import NodeHome, audit_origin
from gateway.keyring.tls import peer_client
from gateway.keyring.tls_group import HYBRID_GROUPS, negotiated_group
from gateway.keyring.trust import read_published_as_stated
from gateway.link.client import HttpPeerLink
from gateway.node.quotas import SETTING, read_quotas
from gateway.node.room import MIB, RoomLeft, least_room
from gateway.ports import Hold, LogKind, PeerView, Transaction
from gateway.system import SystemDisk

CLOCK_TOLERANCE: Final = timedelta(seconds=2)
REFUSED_TOLERANCE: Final = timedelta(minutes=5)
"""Clocks that differ by more let each node refuse what the other one sends."""

DISK_WARNING: Final = 4
"""Less free than so many times the reserve is a warning; less than the reserve a failure."""


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


@dataclass(slots=True, kw_only=True)
class PeerClock:
    """What time it was at the peer when it answered, beside what time it was here.

    Attributes:
        now: Time here when the examination began.
        began_s: The same on a clock that only grows.
        ahead: How far this clock is ahead of the peer's, negative if it is behind; None while
            the peer has not told its time.
    """

    now: datetime
    began_s: float
    ahead: timedelta | None = None

    def told(self, peer_time: datetime | None, *, between_s: tuple[float, float]) -> None:
        """Note what the peer told in an answer that was asked for and came at these moments."""
        if peer_time is not None:
            # It looked at its clock somewhere between; the middle is a fair guess.
            here = self.now + timedelta(seconds=sum(between_s) / 2 - self.began_s)
            self.ahead = here - peer_time


def doctor_command(
    home: Annotated[Path, typer.Option("--home", help="Node home, the folder with gateway.toml.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check all that a node stands on: configuration, keys, disks, database, clocks, node, peer and more.

    One line each: ok, warn or fail, and what to do. Exit status 1 if anything failed.

    Example: entente doctor --home var/demo/fr
    """
    findings = []
    for finding in examine(home, now=now()):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{finding.state:<5} {finding.check:<18} {finding.says}")
            if finding.do:
                typer.echo(f"{'':<25}{finding.do}")
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
    clock = PeerClock(now=now, began_s=time.monotonic())
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
        "legal holds": lambda: _holds(path),
        "quotas": lambda: _quotas(path),
        "node": lambda: _node(home),
        "peer": lambda: _peer(path, clock),
        "clock of the peer": lambda: peer_clock_finding(clock),
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
    does = (
        "own: entente keys rotate tls-peer and tls-server, an authority or root needs a ceremony; "
        "the peer's: its operators (docs/keys.md, What ends when)"
    )
    return _ending("certificates", endings(home, sort=Sort.CERTIFICATE), now=now, does=does)


def _lists(home: NodeHome, now: datetime) -> Finding:
    does = "own: entente keys rotate crl; the peer's: import its export (docs/keys.md, Every week)"
    return _ending("revocation lists", endings(home, sort=Sort.REVOCATION_LIST), now=now, does=does)


def _ending(check: str, found: Sequence[Ending], *, now: datetime, does: str) -> Finding:
    """Return a finding about the file that runs out first."""
    first = found[0]
    at = f"{first.ends:%Y-%m-%d %H:%M}Z"
    stage = first.stage(now)
    if stage is None:
        return Finding(check=check, state=State.OK, says=f"{first.file} ends first, {at}")
    if stage == 0:
        says = f"{first.file} has run out, {at}: everybody is refused"
        return Finding(check=check, state=State.FAIL, says=says, do=does)
    says = f"{first.file} ends first, {at}, in {first.days_left(now)} days: within {stage}"
    return Finding(check=check, state=State.WARN, says=says, do=does)


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
    config = load_config(path)
    spaces = SystemDisk(written_folders(path, config)).spaces()
    return disk_finding(least_room(spaces, reserve_bytes=config.limits.disk_reserve_mib * MIB))


def disk_finding(left: RoomLeft) -> Finding:
    """Return what so much room on the disk means."""
    says = f"{left.free_bytes / MIB:,.0f} MiB free, {left.reserve_bytes / MIB:,.0f} MiB of it in reserve"
    if left.free_bytes < left.reserve_bytes:
        does = "make room: agencies are refused until there is (docs/operating.md, A disk that fills up)"
        return Finding(check="disk", state=State.FAIL, says=says, do=does)
    if left.free_bytes < DISK_WARNING * left.reserve_bytes:
        does = "make room, or give the volume more: below the reserve nothing new is taken on"
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


def _holds(path: Path) -> Finding:
    def load(tx: Transaction) -> tuple[list[Hold], int]:
        return tx.removal.holds(), tx.removal.held()

    with open_logs(path) as logs:
        holds, held = logs.read(load)
    if not holds:
        return Finding(check="legal holds", state=State.OK, says="none; content goes when its time is over")
    oldest = datetime.fromtimestamp(holds[0].at_ms / 1_000, tz=UTC)
    says = (
        f"{len(holds)}, the oldest of {oldest:%Y-%m-%d}, keep {held:,} messages; entente hold list names them"
    )
    return Finding(check="legal holds", state=State.OK, says=says)


def _quotas(path: Path) -> Finding:
    limits = load_config(path).limits
    with open_logs(path) as logs:
        own = read_quotas(logs.read(lambda tx: tx.facts.get(SETTING)))
    default = (
        f"{limits.messages_per_minute or 'any number of'} messages a minute, "
        f"{limits.waiting_per_agency or 'any number'} waiting"
    )
    others = f"; other quotas for {', '.join(sorted(own))}" if own else ""
    return Finding(check="quotas", state=State.OK, says=f"of each agency {default}{others}")


def _node(home: NodeHome) -> Finding:
    try:
        answer = ask_health(home.health_socket)
    except (OSError, ValueError):
        does = f"entente serve --home {home.path}; its last line says why it stopped"
        return Finding(check="node", state=State.FAIL, says="does not run", do=does)
    return node_finding(answer)


def node_finding(answer: Mapping[str, Any]) -> Finding:
    """Return what a node says of itself: not to be ready is a failure, but for maintenance alone."""
    reasons = answer["reasons"]
    counts = f"{answer['waiting']} messages waiting to be sent, {answer['overdue']} requests overdue"
    says = " ".join(
        [f"{answer['status']}: {answer['phase']}, {counts}.", *(item["says"] for item in reasons)]
    )
    wanted = [item["code"] for item in reasons] == ["maintenance"]
    if answer["status"] == "not-ready" and not wanted:
        state = State.FAIL
    else:
        state = State.WARN if reasons else State.OK
    return Finding(check="node", state=state, says=says, do=" ".join(item["do"] for item in reasons))


def _peer(path: Path, clock: PeerClock) -> Finding:
    opened = open_node(path)
    config, keyring = opened.config, opened.keyring
    address = urlsplit(config.peer.url)
    context = peer_client(opened.home, keyring.peer_identity())
    group = negotiated_group(
        address.hostname or "", address.port or 443, context, server_hostname=config.peer.name
    )
    view = asyncio.run(_view(opened, clock))
    says = f"{config.peer.name} answers, mirrors {view.mirrored_size:,} of our entries; TLS group {group}"
    if group not in HYBRID_GROUPS:
        does = "the line is not post-quantum (content is): OpenSSL 3.5 or newer on both sides"
        return Finding(check="peer", state=State.WARN, says=says, do=does)
    return Finding(check="peer", state=State.OK, says=says)


def peer_clock_finding(clock: PeerClock) -> Finding:
    """Return what it means that this node's clock is ahead of the peer's, or behind.

    Two seconds are tolerated, and the one that a time in whole seconds may hide.
    """
    check = "clock of the peer"
    does = "compare both nodes' clocks with a time service; over 5 minutes messages are refused"
    if clock.ahead is None:
        return Finding(check=check, state=State.WARN, says="the peer does not tell its time", do=does)
    seconds = clock.ahead.total_seconds()
    if abs(clock.ahead) <= CLOCK_TOLERANCE + timedelta(seconds=1):
        return Finding(check=check, state=State.OK, says="tells the same time as this one, within 3 s")
    says = f"this clock is {abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} the peer's"
    state = State.FAIL if abs(clock.ahead) > REFUSED_TOLERANCE else State.WARN
    return Finding(check=check, state=state, says=says, do=does)


async def _view(opened: Opened, clock: PeerClock) -> PeerView:
    """Ask the peer what it holds, with the pinned key checked as the node does, and note its time."""
    link = HttpPeerLink(
        url=opened.config.peer.url,
        context=peer_client(opened.home, opened.keyring.peer_identity()),
        pins=opened.keyring.peer_pins,
        server_name=opened.config.peer.name,
    )
    async with link:
        asked_s = time.monotonic()
        view = await link.view()
        clock.told(link.peer_time, between_s=(asked_s, time.monotonic()))
        return view
