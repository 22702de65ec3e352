"""The composition root: the one place that names concrete adapters and wires a node.

`serve_node` opens configuration, keys and database of a node home, wires the node, opens
its three ports and runs until it is told to stop. The peer port opens first, because the
peer may need what it answers in order to recover; the agency port opens with it, because
a node accepts messages while it cannot send them.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson
import structlog

from gateway.api.app import agency_app
from gateway.audit.stamps import read_authority
from gateway.catalogue import read_catalogue, read_lists
from gateway.config import Config, load_config, resolve
from gateway.configured import make_folder, open_store, pair_of, store_url, written_folders
from gateway.console.app import ops_app
from gateway.console.approvals import approval_routes
from gateway.console.custody import custody_routes
from gateway.console.local import tell_health
from gateway.console.officials import role_of_official
from gateway.console.pair import pair_routes
from gateway.console.running import running_routes
from gateway.core.digest import digest_of
from gateway.core.entries import Role
from gateway.core.message.instants import moment_ms
from gateway.core.message.schedule import Schedule
from gateway.core.witness import parse_witness_key
from gateway.errors import ConfigError, GatewayError, MalformedError
from gateway.keyring import tls
from gateway.keyring.access import LOOK_S, Doorkeeper, RevocationWatch
from gateway.keyring.expiry import has_ended, shown_ending
from gateway.keyring.home import NodeHome
from gateway.keyring.keyring import FileKeyring
from gateway.keyring.passphrase import read_passphrase_file
from gateway.keyring.registry import Holder, SpkiDigest
from gateway.keyring.token import token_settings
from gateway.keyring.x509_profile import Authority
from gateway.link.client import HttpPeerLink
from gateway.link.server import BODY_BYTES, peer_app
from gateway.link.third_parties import HttpTimeAuthority, HttpWitness
from gateway.list_watch import ListWatch
from gateway.logs import configure_logs
from gateway.node.access import Door, Doorkeeping
from gateway.node.approvals import ApprovalDesk, ApprovalRules
from gateway.node.attestations import ThirdParties
from gateway.node.courier import CourierConfig
from gateway.node.crew import CrewConfig
from gateway.node.enrolment import Enrolled
from gateway.node.parts import NodeConfig
from gateway.node.quotas import Quota
from gateway.node.resumption import in_stored_generation
from gateway.node.room import MIB
from gateway.node.runtime import Node
from gateway.storage import notices
from gateway.storage.highwater import FileHighWater
from gateway.storage.orders import FileOrders
from gateway.system import SystemClock, SystemDisk, SystemEntropy, tune_collector
from gateway.trust_watch import ContextMaker, TlsEnds, TrustWatch, end_times, revocation_check
from gateway.web.limits import Limits
from gateway.web.server import Port, serve

log = structlog.get_logger(__name__)

NOTICES_S: Final = 1.0
"""Seconds between two looks at what commands have left to be put on record."""

SWITCH_S: Final = 0.002
"""Seconds that a thread waits for the interpreter lock before it asks for it. With 0.5 ms the sender took
6 % more CPU in bulk than with 5; with 2 ms as much, and something urgent waits as short as with 0.5."""

MEMBER: Final = (sys.executable, "-P", "-m", "gateway.member")
"""Starts a process of the crew, with modules of the installation alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What is opened before anything runs."""

    home: NodeHome
    config: Config
    keyring: FileKeyring


class OpenRegistry:
    """The agency registry as the ports ask for it; a replaced file counts within `LOOK_S`."""

    def __init__(self, doorkeeper: Doorkeeper, approvals: ApprovalDesk) -> None:
        """Ask this doorkeeper, and whether two operators have agreed where that is needed."""
        self._doorkeeper = doorkeeper
        self._approvals = approvals

    def find(self, spki: bytes) -> Holder | None:
        """Return who holds the key, or None."""
        holder = self._doorkeeper.registry().find(SpkiDigest(spki))
        if holder is None or not self._approvals.required:
            return holder
        return holder if self._approvals.admits(_enrolled(holder)) else None

    def listed(self) -> frozenset[Enrolled]:
        """Return everybody whom the file names."""
        return frozenset(_enrolled(holder) for holder in self._doorkeeper.registry().holders)


def _enrolled(holder: Holder) -> Enrolled:
    return Enrolled(role=holder.role.value, code=holder.code, spki=holder.spki)


def open_home(home: Path) -> Opened:
    """Open configuration and keys of a node home and check that they fit together.

    Raises:
        ConfigError: The configuration cannot be used, or names another node than the keys.
        OperatorError: A key file, statement or trust file is refused; the text says which.
    """
    config = load_config(home)
    passphrase = read_passphrase_file(resolve(home, config.keys.passphrase_file))
    keyring = FileKeyring.open(
        home,
        passphrase=passphrase,
        production=config.node.mode == "production",
        token=token_settings(home, config),
    )
    named = (config.node.name, config.node.nation, config.peer_nation, config.peer.name)
    if named != (keyring.node, keyring.nation, keyring.peer_nation, keyring.peer_node):
        msg = "gateway.toml names another node or peer than the key statements: node.name, node.nation, peers"
        raise ConfigError(msg)
    return Opened(home=NodeHome(path=home), config=config, keyring=keyring)


def read_schedule(home: Path, config: Config) -> Schedule:
    """Return the catalogues of a node, as its configuration plans them.

    Raises:
        CatalogueError: One of the folders holds no usable catalogue.
    """
    section = config.agreement
    folder = None if section.catalogue is None else resolve(home, section.catalogue)
    if section.next_catalogue is None or section.next_from is None:
        return Schedule(catalogue=read_catalogue(folder))
    return Schedule(
        catalogue=read_catalogue(folder),
        following=read_catalogue(resolve(home, section.next_catalogue)),
        change_ms=moment_ms(section.next_from),
    )


def third_parties(home: Path, config: Config) -> tuple[ThirdParties, ...]:
    """Return the third parties that the configuration names, each to be asked by itself.

    Raises:
        ConfigError: A file with keys or certificates cannot be read; the text names the setting.
    """
    found: list[ThirdParties] = []
    if config.stamps is not None:
        authority = HttpTimeAuthority(
            name="tsa",
            url=config.stamps.url,
            authority=read_authority(_file(home, config.stamps.certificate_file, "stamps.certificate_file")),
            context=_trusting(home, config.stamps.ca_file, "stamps.ca_file"),
        )
        found.append(ThirdParties(authorities=(authority,), every_s=config.stamps.every_s))
    for name, section in config.witnesses.items():
        data = _file(home, section.key_file, f"witnesses.{name}.key_file")
        try:
            key = parse_witness_key(data.decode("utf-8").strip())
        except (MalformedError, ValueError) as error:
            msg = f"witnesses.{name}.key_file holds no verifier key of a witness (Ed25519, type 0x04)"
            raise ConfigError(msg) from error
        witness = HttpWitness(
            name=name,
            url=section.url,
            key=key,
            context=_trusting(home, section.ca_file, f"witnesses.{name}.ca_file"),
        )
        found.append(ThirdParties(witnesses=(witness,), every_s=section.every_s))
    return tuple(found)


def unusable(home: Path, config: Config) -> Iterator[GatewayError]:
    """Yield why a node could not start with the files that its configuration names, keys apart."""
    looks: tuple[Callable[[], object], ...] = (
        lambda: store_url(home, config),
        lambda: read_schedule(home, config),
        lambda: third_parties(home, config),
        lambda: FileOrders(resolve(home, config.store.orders_file)),
    )
    for look in looks:
        try:
            look()
        except GatewayError as error:
            yield error


def _file(home: Path, path: Path, setting: str) -> bytes:
    try:
        return resolve(home, path).read_bytes()
    except OSError as error:
        msg = f"{setting} cannot be read ({error.strerror})"
        raise ConfigError(msg) from error


def _trusting(home: Path, path: Path | None, setting: str) -> ssl.SSLContext | None:
    """Return a TLS context that trusts one authority alone; None for plain HTTP."""
    if path is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(cadata=_file(home, path, setting).decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        msg = f"{setting} is no PEM file with certificates"
        raise ConfigError(msg) from error
    return context


async def serve_node(home: Path, *, stop: asyncio.Event) -> None:
    """Run the node of a home until ``stop`` is set.

    Raises:
        OperatorError: It cannot start, or something only an operator can mend happened.
    """
    opened = open_home(home)
    config, keyring = opened.config, opened.keyring
    configure_logs(config.log.level, node=config.node.name)
    keyring.say_token_changes()
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store = open_store(home, config)
        stack.push_async_callback(store.close)
        high_water_file = resolve(home, config.store.high_water_file)
        make_folder(high_water_file.parent, "store.high_water_file")
        link = await stack.enter_async_context(
            HttpPeerLink(
                url=config.peer.url,
                context=tls.peer_client(opened.home, keyring.peer_identity()),
                pins=keyring.peer_pins,
                server_name=config.peer.name,
                clock=clock,
                is_own_ended=lambda: has_ended(opened.home.own.peer_chain, now_ms=clock.now_ms()),
            )
        )
        high_water = FileHighWater(high_water_file)
        orders = FileOrders(resolve(home, config.store.orders_file))
        first = pair_of(config)
        while not stop.is_set():
            node = Node(
                pair=await in_stored_generation(store, first),
                schedule=read_schedule(home, config),
                store=store,
                keyring=keyring,
                high_water=high_water,
                orders=orders,
                link=link,
                clock=clock,
                entropy=SystemEntropy(),
                disk=SystemDisk(written_folders(home, config)),
                config=_node_config(home, config),
            )
            tune_collector()
            _tune_threads()
            # Comes back without `stop` when the pair goes on in another generation of its logs:
            # then the same process runs a node on those.
            await _run(opened, node, link, clock, stop)


def _node_config(home: Path, config: Config) -> NodeConfig:
    return NodeConfig(
        courier=CourierConfig(pace_ms=config.bundle.pace_ms, longest_wait_s=config.bundle.longest_wait_s),
        max_waiting=config.limits.max_waiting,
        lists=read_lists(resolve(home, config.lists.folder)),
        third_parties=third_parties(home, config),
        reserve_bytes=config.limits.disk_reserve_mib * MIB,
        quota=Quota(per_minute=config.limits.messages_per_minute, waiting=config.limits.waiting_per_agency),
        idempotency_days=config.retention.idempotency_days,
        approvals=ApprovalRules(
            required=config.approvals.two_operators, proposal_hours=config.approvals.proposal_hours
        ),
        crew=CrewConfig(size=config.crew.processes, command=MEMBER, log_level=config.log.level),
        fingerprint=fingerprint_of(config),
    )


def fingerprint_of(config: Config) -> bytes:
    """Return the SHA-384 of a configuration in effect, defaults and environment included.

    It holds no secret: those are files, of which it has the paths.
    """
    text = orjson.dumps(config.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return digest_of(text)


def _tune_threads() -> None:
    """Let a thread that waits for the interpreter lock have it soon.

    Opening and validating hold it for long, and a message on its way takes it some twenty times in
    other threads: with the 5 ms of the interpreter's own, each of those waits that long.
    """
    sys.setswitchinterval(SWITCH_S)


async def _run(
    opened: Opened, node: Node, link: HttpPeerLink, clock: SystemClock, stop: asyncio.Event
) -> None:
    config, home, keyring = opened.config, opened.home, opened.keyring
    limits = Limits(
        connections=config.limits.connections,
        connections_per_caller=config.limits.connections_per_agency,
        requests_per_caller=config.limits.requests_per_agency,
    )
    agencies = OpenRegistry(Doorkeeper(home, Authority.AGENCIES, look_s=LOOK_S), node.approvals)
    operators = OpenRegistry(Doorkeeper(home, Authority.OPERATORS, look_s=LOOK_S), node.approvals)
    await node.approvals.open(operators.listed)
    contexts: dict[str, ContextMaker] = {
        "peer": lambda: tls.peer_server(home, keyring.peer_identity()),
        "agency": lambda: tls.agency_server(home, keyring.server_identity()),
        "ops": lambda: tls.operator_server(home, keyring.server_identity()),
    }
    peer, agency = peer_app(node.peer_service, keyring.peer_pins), agency_app(node, agencies)
    more = (
        *custody_routes(node.custody),
        *running_routes(node),
        *approval_routes(node.approvals),
        *pair_routes(node),
    )

    def ends_at() -> dict[str, float]:
        return end_times(home, shown=shown_ending(link.peer_certificate_ends_ms, now_ms=clock.now_ms()))

    ops = ops_app(node, operators, ports=(peer, agency), ends=ends_at, more=more)
    apps = {
        "peer": (peer, config.peer_api),
        "agency": (agency, config.agency_api),
        "ops": (ops, config.ops_api),
    }
    for name, trust, authority in (
        ("peer", home.peer, Authority.NODES),
        ("agency", home.own, Authority.AGENCIES),
        ("ops", home.own, Authority.OPERATORS),
    ):
        watch = RevocationWatch(trust, authority, look_s=LOOK_S)
        apps[name][0].check_certificates(revocation_check(watch, port=name))
    peer.access = Doorkeeping(node.access, Door.PEER, lambda _: Role.PEER)
    agency.access = Doorkeeping(node.access, Door.AGENCY, lambda _: Role.AGENCY)
    ops.access = Doorkeeping(node.access, Door.OPERATOR, role_of_official)
    running = asyncio.create_task(node.run(), name="node")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    reopening = asyncio.create_task(node.resumption.opened.wait(), name="reopening")
    try:
        async with AsyncExitStack() as ports:
            await ports.enter_async_context(tell_health(node, home.health_socket))
            opened_ports: dict[str, Port] = {}
            for name, (app, section) in apps.items():
                taken = replace(limits, body_bytes=BODY_BYTES) if app is peer else limits
                opened_ports[name] = await ports.enter_async_context(
                    serve(app, section.host, section.port, contexts[name](), clock=clock, limits=taken)
                )
            ends = TlsEnds(ports=opened_ports, contexts=contexts, link=link)
            trust_watch = TrustWatch(home, keyring, node, ends, clock=clock)
            watching = asyncio.create_task(trust_watch.run(), name="trust")
            noticing = asyncio.create_task(_record_notices(home, node), name="notices")
            list_watch = ListWatch(resolve(home.path, config.lists.folder), node, clock=clock)
            listing = asyncio.create_task(list_watch.run(), name="lists")
            await asyncio.wait({running, stopping, reopening}, return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            noticing.cancel()
            listing.cancel()
            await asyncio.gather(watching, noticing, listing, return_exceptions=True)
        # The ports have drained: what was in work is answered. Only now does the node stop.
        if not running.done() and stop.is_set():
            await node.close_books()
    finally:
        stopping.cancel()
        reopening.cancel()
        running.cancel()
        results = await asyncio.gather(running, return_exceptions=True)
    if results[0] is not None and not isinstance(results[0], asyncio.CancelledError):
        # What only an operator can mend; anything else is a defect, and must not look like an end.
        raise results[0]
    if stop.is_set():
        log.info("node.stopped", node=node.pair.node)
    else:
        log.info("node.reopened", node=node.pair.node)


async def _record_notices(home: NodeHome, node: Node) -> None:
    """Log what commands did beside the node: backups that were made, the one it was restored from."""
    while True:
        await asyncio.sleep(NOTICES_S)
        try:
            for path, notice in notices.waiting(home.data):
                if notice is None:
                    log.error("notice.refused", file=path.name)
                else:
                    await node.own_events.record_backup(notice.event, notice.details, made_ms=notice.made_ms)
                    _tell(notice.event)
                # After the record: a crash in between writes it twice, never not at all.
                path.unlink()
        except OSError as error:
            log.error("notice.refused", error=type(error).__name__)  # noqa: TRY400 - its kind says it


def _tell(event: str) -> None:
    """Log an event that a command left; each by its own line, so that all names stand in the program."""
    if event == "backup.made":
        log.info("backup.made")
    else:
        log.info("backup.restored")
