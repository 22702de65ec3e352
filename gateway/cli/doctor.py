"""`entente doctor`: look at everything that a node stands on, and say what to do.

Each check looks at one thing, changes nothing, and ends with one finding; a check that
cannot be made is a failed one. Beside a running node or without one, on the node's machine
and as the node's user, because it opens the keys.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from gateway.app import Opened, unusable
from gateway.app import open_home as open_node
from gateway.catalogue import read_lists
from gateway.cli.agency import LanguageOption, language_of
from gateway.cli.findings import (
    NOTHING,
    Finding,
    PeerClock,
    State,
    agreement_finding,
    approvals_finding,
    backup_finding,
    clock_finding,
    database_finding,
    disk_finding,
    ending_finding,
    list_finding,
    node_finding,
    peer_clock_finding,
)
from gateway.cli.french import in_french
from gateway.cli.health import ask_health
from gateway.cli.home_logs import open_home as open_logs
from gateway.cli.init import now
from gateway.cli.refusals import told
from gateway.config import load_config, resolve
from gateway.configured import written_folders
from gateway.core.generation import first_of, generation_of
from gateway.core.message.schedule import Course
from gateway.core.message.wording import Language, Wording
from gateway.errors import GatewayError
from gateway.keyring.expiry import Sort, endings, has_ended
from gateway.keyring.home import NodeHome, audit_origin
from gateway.keyring.registry import read_registry
from gateway.keyring.tls import peer_client
from gateway.keyring.tls_group import HYBRID_GROUPS, negotiated_group
from gateway.keyring.trust import read_published_as_stated
from gateway.link.client import HttpPeerLink, OwnCertificateEndedError, OwnKeyUnknownError
from gateway.node.advice import ADVICE
from gateway.node.announcements import announced_in
from gateway.node.approvals import ENROLMENT, PROPOSALS
from gateway.node.enrolment import Enrolled, read_enrolment
from gateway.node.own_events import BACKUP
from gateway.node.proposals import Fate, read_proposals
from gateway.node.quotas import SETTING, read_quotas
from gateway.node.room import MIB, least_room
from gateway.ports import Hold, LogKind, PeerView, Transaction
from gateway.storage import notices
from gateway.storage.snapshot import is_on_server
from gateway.system import SystemDisk

_KEYS_PAGE: Final = Wording(
    en="docs/keys.md, When something goes wrong", fr="docs/cles.md, Quand quelque chose ne va pas"
)
_SEE_DATABASE: Final = Wording(en="see database above", fr="voir base de données ci-dessus")
_WHEN_REFUSED: Final = {
    **dict.fromkeys(
        ("backups", "clock", "agreement", "legal holds", "quotas", "two operators"), _SEE_DATABASE
    ),
    "keys": _KEYS_PAGE,
    "roots": _KEYS_PAGE,
    "certificates": _KEYS_PAGE,
    "revocation lists": _KEYS_PAGE,
    "reference lists": Wording(
        en="mend or remove the file: the list of the installation counts again",
        fr="corrigez ou retirez le fichier : la liste de l'installation compte à nouveau",
    ),
    "database": Wording(
        en="a node that never ran has none yet: start it; else keep the files as they are, entente log list "
        "says more",
        fr="un nœud qui n'a jamais tourné n'en a pas encore : démarrez-le ; sinon laissez les fichiers "
        "en l'état, "
        "entente log list en dit plus",
    ),
    "peer": Wording(
        en="ask the peer's operators whether their node runs; check address, line and revocation lists",
        fr="demandez aux exploitants du pair si leur nœud tourne ; vérifiez adresse, ligne et listes de "
        "révocation",
    ),
}
"""What to do when a check is refused what it wants to look at."""

_PEER_FILES: Final = Wording(
    en="see keys above; trust/peer comes from the peer's export: entente keys import-peer (docs/keys.md, "
    "Exchange with the peer)",
    fr="voir clés ci-dessus ; trust/peer vient de l'export du pair : entente keys import-peer "
    "(docs/cles.md, Échange avec le pair)",
)
_PEER_IDENTITY: Final = Wording(
    en="see certificates and revocation lists above; if they are well, the certificate that the peer shows "
    "has ended, is not valid yet, bears another name or key, or somebody else answers: its operators",
    fr="voir certificats et révocations ci-dessus ; s'ils sont bons, le certificat que montre le pair est "
    "terminé, pas encore valable, d'un autre nom ou d'une autre clé, ou quelqu'un d'autre répond : ses "
    "exploitants",
)
_OWN_ENDED: Final = Wording(
    en="see certificates above: entente keys rotate tls-peer, then export to the peer (docs/keys.md, Every "
    "60 days)",
    fr="voir certificats ci-dessus : entente keys rotate tls-peer, puis export au pair (docs/cles.md, Tous "
    "les 60 jours)",
)
_OWN_UNKNOWN: Final = Wording(
    en="entente keys export-trust; bring it to the peer's operators, who import it (docs/keys.md, Exchange "
    "with the peer)",
    fr="entente keys export-trust ; portez-le aux exploitants du pair, qui l'importent (docs/cles.md, "
    "Échange avec le pair)",
)
_GENERAL: Final = frozenset({"config-invalid", "key-file-refused", "store-failed", "trust-refused"})
"""Codes whose advice is about any file of their kind."""

NAMES: Final[Mapping[str, str]] = {
    "configuration": "configuration",
    "named files": "fichiers nommés",
    "keys": "clés",
    "roots": "racines",
    "certificates": "certificats",
    "revocation lists": "révocations",
    "reference lists": "listes de réf.",
    "disk": "disques",
    "database": "base de données",
    "backups": "sauvegardes",
    "clock": "horloge",
    "agreement": "accord",
    "legal holds": "conservation",
    "quotas": "quotas",
    "two operators": "deux exploitants",
    "node": "nœud",
    "peer": "pair",
    "clock of the peer": "horloge du pair",
}
"""Each check in French; the JSON has the English word in both languages."""

_STATES: Final = {
    State.OK: Wording(en="ok", fr="bon"),
    State.WARN: Wording(en="warn", fr="alerte"),
    State.FAIL: Wording(en="fail", fr="échec"),
}


def doctor_command(
    home: Annotated[Path, typer.Option("--home", help="Node home, the folder with gateway.toml.")],
    *,
    language: LanguageOption = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check all that a node stands on: configuration, keys, disks, database, clocks, node, peer and more.

    One line each: ok, warn or fail, and what to do. Exit status 1 if anything failed.

    Example: entente doctor --home var/demo/fr --language fr
    """
    spoken = language_of(language)
    findings = []
    for finding in examine(home, now=now()):
        findings.append(finding)
        if not as_json:
            _print(finding, spoken)
    if as_json:
        documents = [
            {
                "check": finding.check,
                "state": finding.state.value,
                "says": finding.says.text(spoken),
                "do": finding.do.text(spoken),
            }
            for finding in findings
        ]
        typer.echo(json.dumps(documents, indent=2, ensure_ascii=False))
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(1)


def _print(finding: Finding, spoken: Language) -> None:
    name = NAMES[finding.check] if spoken == "fr" else finding.check
    state = _STATES[finding.state].text(spoken)
    width = max(len(word.text(spoken)) for word in _STATES.values())
    typer.echo(f"{state:<{width}}  {name:<18} {finding.says.text(spoken)}")
    if do := finding.do.text(spoken):
        typer.echo(f"{'':<{width + 21}}{do}")


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
        "named files": lambda: _named_files(path),
        "keys": lambda: _keys(home),
        "roots": lambda: _roots(home, now),
        "certificates": lambda: _certificates(home, now),
        "revocation lists": lambda: _lists(home, now),
        "reference lists": lambda: _reference_lists(path, now),
        "disk": lambda: _disk(path),
        "database": lambda: _database(path),
        "backups": lambda: _backups(path, now),
        # As of then: what ran before may have taken long, and the node has signed meanwhile.
        "clock": lambda: _clock(path, clock.here(time.monotonic())),
        "agreement": lambda: _agreement(path, now),
        "legal holds": lambda: _holds(path),
        "quotas": lambda: _quotas(path),
        "two operators": lambda: _two_operators(path),
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
        words = told(error)
        says = Wording(en=f"{words.en} [{error.code}]", fr=f"{words.fr} [{error.code}]")
        return Finding(check=name, state=State.FAIL, says=says, do=_advice(name, error.code))
    except OSError as error:
        text = error.strerror or type(error).__name__
        does = _WHEN_REFUSED.get(name, NOTHING)
        says = Wording(en=text, fr=in_french(text) or text)
        return Finding(check=name, state=State.FAIL, says=says, do=does)


def _advice(name: str, code: str) -> Wording:
    """Return what to do when a check is refused what it wants to look at."""
    does = _WHEN_REFUSED.get(name, NOTHING)
    is_of_trust = code in {"key-file-refused", "trust-refused"}
    if name == "peer" and is_of_trust:
        return _PEER_FILES
    if name == "peer" and code == "peer-identity":
        return _PEER_IDENTITY
    if name == "peer" and code == OwnCertificateEndedError.code:
        return _OWN_ENDED
    if name == "peer" and code == OwnKeyUnknownError.code:
        return _OWN_UNKNOWN
    if does is _SEE_DATABASE:
        # One cause is told once; but who is enrolled stands in the registry file as well.
        return _KEYS_PAGE if is_of_trust else does
    # What the check knows of its own files says more than what holds for every file.
    return does if does != NOTHING and code in _GENERAL else ADVICE.get(code, does)


def _configuration(path: Path) -> Finding:
    config = load_config(path)
    says = Wording(
        en="{name} of {nation}, mode {mode}, peer {peer}", fr="{name} de {nation}, mode {mode}, pair {peer}"
    ).fill(name=config.node.name, nation=config.node.nation, mode=config.node.mode, peer=config.peer.name)
    return Finding(check="configuration", state=State.OK, says=says)


def _named_files(path: Path) -> Finding:
    if (refused := next(unusable(path, load_config(path)), None)) is not None:
        raise refused
    says = Wording(
        en="the catalogue, and what else the configuration names, can be used",
        fr="le catalogue et ce que la configuration nomme d'autre sont utilisables",
    )
    return Finding(check="named files", state=State.OK, says=says)


def _keys(home: NodeHome) -> Finding:
    opened = open_node(home.path)
    statement = read_published_as_stated(home.own).statement
    facts = {"version": str(statement.version), "node": opened.keyring.node}
    if statement.test:
        says = Wording(
            en="all open; key statement version {version}; TEST keys",
            fr="toutes s'ouvrent ; déclaration de clés version {version} ; clés de TEST",
        )
        does = Wording(
            en="never let anything but test messages through these keys",
            fr="ne laissez passer par ces clés que des messages d'essai",
        )
        return Finding(check="keys", state=State.WARN, says=says.fill(**facts), do=does)
    says = Wording(
        en="all open; key statement version {version} of {node}",
        fr="toutes s'ouvrent ; déclaration de clés version {version} de {node}",
    )
    return Finding(check="keys", state=State.OK, says=says.fill(**facts))


def _roots(home: NodeHome, now: datetime) -> Finding:
    does = Wording(
        en="ours: entente keys new-root; the peer's: ask its operators (docs/keys.md, A new root)",
        fr="la nôtre : entente keys new-root ; celle du pair : demandez à ses exploitants "
        "(docs/cles.md, Une nouvelle racine)",
    )
    return ending_finding("roots", endings(home, sort=Sort.ROOT), now=now, does=does)


def _certificates(home: NodeHome, now: datetime) -> Finding:
    does = Wording(
        en="own: entente keys rotate tls-peer, tls-server and, for *-ca.pem, authorities (with the root); "
        "the peer's: its operators (docs/keys.md, What ends when)",
        fr="les nôtres : entente keys rotate tls-peer, tls-server et, pour *-ca.pem, authorities (avec la "
        "racine) ; ceux du pair : ses exploitants (docs/cles.md, Échéances)",
    )
    return ending_finding("certificates", endings(home, sort=Sort.CERTIFICATE), now=now, does=does)


def _lists(home: NodeHome, now: datetime) -> Finding:
    does = Wording(
        en="own: entente keys rotate crl; the peer's: import its export (docs/keys.md, Every week)",
        fr="les nôtres : entente keys rotate crl ; celles du pair : importez son export (docs/cles.md, "
        "Chaque semaine)",
    )
    return ending_finding("revocation lists", endings(home, sort=Sort.REVOCATION_LIST), now=now, does=does)


def _reference_lists(path: Path, now: datetime) -> Finding:
    return list_finding(read_lists(resolve(path, load_config(path).lists.folder)), today=now.date())


def _disk(path: Path) -> Finding:
    config = load_config(path)
    spaces = SystemDisk(written_folders(path, config)).spaces()
    return disk_finding(least_room(spaces, reserve_bytes=config.limits.disk_reserve_mib * MIB))


def _database(path: Path) -> Finding:
    with open_logs(path) as logs:
        is_newer = logs.is_newer
        heads = {log.head.origin: log.head.size for log in logs.stored()}
        # Of the peer's audit log this node holds checkpoints and no entries.
        witnessed = audit_origin(logs.config.peer.name)
    if is_newer:
        says = Wording(
            en="made by a newer version of this program: a node of this version does not start on it",
            fr="créée par une version plus récente de ce programme : un nœud de cette version ne démarre pas "
            "dessus",
        )
        does = Wording(
            en="run the newer version, or restore the backup that was made before the upgrade",
            fr="lancez la version plus récente, ou restaurez la sauvegarde faite avant la mise à niveau",
        )
        return Finding(check="database", state=State.FAIL, says=says, do=does)
    # What the high-water file knows was signed or cosigned; a database that lacks it is an old one.
    behind = [
        origin
        for origin, (size, _) in logs.marks.items()
        if size > heads.get(origin, 0) and first_of(origin) != witnessed and not _is_closed(origin, heads)
    ]
    if behind:
        says = Wording(
            en="older than what this node has signed: {logs}",
            fr="plus ancienne que ce que ce nœud a signé : {logs}",
        ).fill(logs=", ".join(sorted(behind)))
        does = Wording(
            en="start the node: it refills its log from the peer before it signs; find out why",
            fr="démarrez le nœud : il complète son journal auprès du pair avant de signer ; cherchez "
            "pourquoi",
        )
        return Finding(check="database", state=State.FAIL, says=says, do=does)
    lost = {
        origin: size - heads.get(origin, 0)
        for origin, (size, _) in logs.marks.items()
        if size > heads.get(origin, 0) and first_of(origin) != witnessed
    }
    return database_finding(len(heads), lost)


def _is_closed(origin: str, heads: Mapping[str, int]) -> bool:
    """Return whether a later generation of a log is there: what the earlier one lacks is lost and said."""
    first = first_of(origin)
    return any((generation_of(first, other) or 0) > (generation_of(first, origin) or 0) for other in heads)


def _backups(path: Path, now: datetime) -> Finding:
    """Look for the newest backup: on record, or told by a command and not recorded yet."""
    if is_on_server(load_config(path).store.url):
        says = Wording(
            en="of the server of the database, by its own tools; this node knows nothing of them "
            "(docs/runbooks.md, PostgreSQL)",
            fr="celles du serveur de la base, par ses propres outils ; ce nœud n'en sait rien "
            "(docs/procedures.md, PostgreSQL)",
        )
        return Finding(check="backups", state=State.OK, says=says)
    with open_logs(path) as logs:
        kept = logs.read(lambda tx: tx.facts.get(BACKUP))
    times = [] if kept is None else [datetime.fromtimestamp(int(kept) / 1_000, UTC)]
    times += [
        datetime.fromtimestamp(notice.made_ms / 1_000, UTC)
        for _, notice in notices.waiting(NodeHome(path=path).data)
        if notice is not None
    ]
    warn_after = timedelta(hours=load_config(path).backups.warn_after_hours)
    return backup_finding(max(times, default=None), now=now, warn_after=warn_after)


def _clock(path: Path, now: datetime) -> Finding:
    with open_logs(path) as logs:
        times = [log.newest.at_ms for log in logs.stored() if log.newest is not None]
    ahead = timedelta(milliseconds=max(times, default=0)) - timedelta(seconds=now.timestamp())
    return clock_finding(ahead, now=now)


def _agreement(path: Path, now: datetime) -> Finding:
    now_ms = int(now.timestamp() * 1_000)

    def load(tx: Transaction) -> dict[LogKind, Course]:
        return {head.kind: announced_in(tx, head.origin).course(now_ms) for head in tx.logs.heads()}

    with open_logs(path) as logs:
        stated = logs.read(load)
    return agreement_finding(stated.get(LogKind.EXCHANGE, ()), stated.get(LogKind.MIRROR, ()))


def _holds(path: Path) -> Finding:
    def load(tx: Transaction) -> tuple[list[Hold], int]:
        return tx.removal.holds(), tx.removal.held()

    with open_logs(path) as logs:
        holds, held = logs.read(load)
    if not holds:
        says = Wording(
            en="none; content goes when its time is over",
            fr="aucune mesure ; le contenu disparaît à son terme",
        )
        return Finding(check="legal holds", state=State.OK, says=says)
    oldest = datetime.fromtimestamp(holds[0].at_ms / 1_000, tz=UTC)
    says = Wording(
        en="{count}, the oldest of {oldest}; content of {held:message|messages} is kept, and entente hold "
        "list names the holds",
        fr="{count}, la plus ancienne du {oldest} ; le contenu de {held:message|messages} est conservé, et "
        "entente hold list nomme les mesures",
    ).fill(count=len(holds), oldest=f"{oldest:%Y-%m-%d}", held=held)
    return Finding(check="legal holds", state=State.OK, says=says)


def _quotas(path: Path) -> Finding:
    limits = load_config(path).limits
    with open_logs(path) as logs:
        own = read_quotas(logs.read(lambda tx: tx.facts.get(SETTING)))
    minute, waiting = limits.messages_per_minute, limits.waiting_per_agency
    named = ", ".join(sorted(own))
    says = Wording(
        en=f"of each agency {minute or 'any number of'} messages a minute, {waiting or 'any number'} waiting"
        + (f"; other quotas for {named}" if own else ""),
        fr=f"par service : {minute or 'sans limite de'} messages par minute, {waiting or 'sans limite'} "
        f"en attente" + (f" ; autres quotas pour {named}" if own else ""),
    )
    return Finding(check="quotas", state=State.OK, says=says)


def _two_operators(path: Path) -> Finding:
    config = load_config(path)
    with open_logs(path) as logs:
        enrolment, proposals = logs.read(
            lambda tx: (read_enrolment(tx.facts.get(ENROLMENT)), read_proposals(tx.facts.get(PROPOSALS)))
        )
    holders = read_registry(NodeHome(path=path).registry).holders
    listed = {Enrolled(role=item.role.value, code=item.code, spki=item.spki) for item in holders}
    return approvals_finding(
        enrolment,
        frozenset(listed),
        required=config.approvals.two_operators,
        proposals=sum(item.fate is Fate.OPEN for item in proposals),
    )


def _node(home: NodeHome) -> Finding:
    try:
        answer = ask_health(home.health_socket)
    except (OSError, ValueError):
        says = Wording(en="does not run", fr="ne tourne pas")
        does = Wording(
            en="entente serve --home {home}; its last line says why it stopped",
            fr="entente serve --home {home} ; sa dernière ligne dit pourquoi il s'est arrêté",
        ).fill(home=str(home.path))
        return Finding(check="node", state=State.FAIL, says=says, do=does)
    return node_finding(answer)


def _peer(path: Path, clock: PeerClock) -> Finding:
    opened = open_node(path)
    config, keyring = opened.config, opened.keyring
    address = urlsplit(config.peer.url)
    context = peer_client(opened.home, keyring.peer_identity())
    # Asked first: it tells a certificate that is not accepted from a node that does not answer.
    view = asyncio.run(_view(opened, clock))
    group = negotiated_group(
        address.hostname or "", address.port or 443, context, server_hostname=config.peer.name
    )
    says = Wording(
        en="{peer} answers, mirrors {size} of our entries; TLS group {group}",
        fr="{peer} répond, détient {size} de nos entrées ; groupe TLS {group}",
    ).fill(peer=config.peer.name, size=f"{view.mirrored_size:,}", group=str(group))
    if group not in HYBRID_GROUPS:
        does = Wording(
            en="the line is not post-quantum (content is): OpenSSL 3.5 or newer on both sides",
            fr="la ligne n'est pas post-quantique (le contenu l'est) : OpenSSL 3.5 ou plus récent des "
            "deux côtés",
        )
        return Finding(check="peer", state=State.WARN, says=says, do=does)
    return Finding(check="peer", state=State.OK, says=says)


async def _view(opened: Opened, clock: PeerClock) -> PeerView:
    """Ask the peer what it holds, with the pinned key checked as the node does, and note its time."""
    link = HttpPeerLink(
        url=opened.config.peer.url,
        context=peer_client(opened.home, opened.keyring.peer_identity()),
        pins=opened.keyring.peer_pins,
        server_name=opened.config.peer.name,
        is_own_ended=lambda: has_ended(opened.home.own.peer_chain, now_ms=int(clock.now.timestamp() * 1_000)),
    )
    async with link:
        asked_s = time.monotonic()
        view = await link.view()
        clock.told(link.peer_time, between_s=(asked_s, time.monotonic()))
        return view
