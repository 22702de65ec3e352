"""What `entente doctor` says of what it has looked at: how it is and what to do, in both languages.

Nothing here looks at anything: values in, words out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from gateway.console.words import HEALTH, Advice
from gateway.core.message.instants import time_text
from gateway.core.message.reference_lists import ReferenceLists, absent, stale
from gateway.core.message.schedule import Course, first_difference
from gateway.core.message.warning import LISTS
from gateway.core.message.wording import Wording
from gateway.keyring.expiry import Ending
from gateway.node.enrolment import OPERATORS_NEEDED, Enrolled, Enrolment
from gateway.node.room import MIB, RoomLeft

CLOCK_TOLERANCE: Final = timedelta(seconds=2)
REFUSED_TOLERANCE: Final = timedelta(minutes=5)
"""Clocks that differ by more let each node refuse what the other one sends."""

DISK_WARNING: Final = 4
"""Less free than so many times the reserve is a warning; less than the reserve a failure."""

_CLOCKS: Final = Wording(
    en="compare both nodes' clocks with a time service; over 5 minutes messages are refused",
    fr="comparez les horloges des deux nœuds à un service de temps ; au-delà de 5 minutes, les messages sont "
    "refusés",
)


_SET_CLOCK: Final = Wording(
    en="compare this machine's clock with a time service: it is probably behind",
    fr="comparez l'horloge de cette machine à un service de temps : elle retarde sans doute",
)
_SEE_PEER: Final = Wording(en="see peer above", fr="voir pair ci-dessus")


class State(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


NOTHING: Final = Wording(en="", fr="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at; a stable word for machines, `NAMES` has it for people.
        state: Good, soon bad, or bad.
        says: How it is.
        do: What the operator does about it; empty if nothing.
    """

    check: str
    state: State
    says: Wording
    do: Wording = NOTHING


@dataclass(slots=True, kw_only=True)
class PeerClock:
    """What time it was at the peer when it answered, beside what time it was here.

    Attributes:
        now: Time here when the examination began.
        began_s: The same on a clock that only grows.
        ahead: How far this clock is ahead of the peer's, negative if it is behind; None while
            the peer has not told its time.
        is_answered: Whether the peer has answered at all.
    """

    now: datetime
    began_s: float
    ahead: timedelta | None = None
    is_answered: bool = False

    def here(self, at_s: float) -> datetime:
        """Return what time it was here at a moment of the clock that only grows."""
        return self.now + timedelta(seconds=at_s - self.began_s)

    def told(self, peer_time: datetime | None, *, between_s: tuple[float, float]) -> None:
        """Note what the peer told in an answer that was asked for and came at these moments."""
        self.is_answered = True
        if peer_time is not None:
            # It looked at its clock somewhere between; the middle is a fair guess.
            self.ahead = self.here(sum(between_s) / 2) - peer_time


def ending_finding(check: str, found: Sequence[Ending], *, now: datetime, does: Wording) -> Finding:
    """Return a finding about the file that runs out first."""
    early = next((item for item in found if item.is_early(now)), None)
    if early is not None:
        says = Wording(
            en="{file} is not valid before {at}: everybody is refused",
            fr="{file} n'est pas valable avant {at} : tout le monde est refusé",
        ).fill(file=early.file, at=f"{early.begins:%Y-%m-%d %H:%M}Z")
        return Finding(check=check, state=State.FAIL, says=says, do=_SET_CLOCK)
    first = found[0]
    facts = {"file": first.file, "at": f"{first.ends:%Y-%m-%d %H:%M}Z"}
    stage = first.stage(now)
    if stage is None:
        says = Wording(en="{file} ends first, {at}", fr="{file} se termine en premier, {at}")
        return Finding(check=check, state=State.OK, says=says.fill(**facts))
    if stage == 0:
        says = Wording(
            en="{file} has run out, {at}: everybody is refused",
            fr="{file} est terminé depuis {at} : tout le monde est refusé",
        )
        return Finding(check=check, state=State.FAIL, says=says.fill(**facts), do=does)
    says = Wording(
        en="{file} ends first, {at}, in {days:day|days}: within {stage}",
        fr="{file} se termine en premier, {at}, dans {days:jour|jours} : moins de {stage}",
    ).fill(**facts, days=first.days_left(now), stage=str(stage))
    return Finding(check=check, state=State.WARN, says=says, do=does)


def list_finding(lists: ReferenceLists, *, today: date) -> Finding:
    """Return what these lists are worth on a day; none of it refuses a message."""
    missing, old = absent(lists, LISTS), stale(lists, today=today)
    named = ", ".join(f"{name} {lists[name].edition.name}" for name in sorted(lists))
    says = Wording(en=named or "none", fr=named or "aucune")
    if not missing and not old:
        return Finding(check="reference lists", state=State.OK, says=says)
    says = Wording(
        en=says.en
        + "".join(f"; {name} is not there" for name in missing)
        + "".join(f"; {name} is old" for name in old),
        fr=says.fr
        + "".join(f" ; {name} est absente" for name in missing)
        + "".join(f" ; {name} est ancienne" for name in old),
    )
    does = Wording(
        en="put a newer NAME.json into the folder of lists; nothing is refused (docs/reference-lists.md)",
        fr="mettez un NOM.json plus récent dans le dossier des listes ; rien n'est refusé "
        "(docs/reference-lists.md)",
    )
    return Finding(check="reference lists", state=State.WARN, says=says, do=does)


def disk_finding(left: RoomLeft) -> Finding:
    """Return what so much room on the disk means."""
    says = Wording(
        en="{free} MiB free, {reserve} MiB of it in reserve",
        fr="{free} Mio libres, dont {reserve} Mio en réserve",
    )
    says = _counted(says, free=left.free_bytes / MIB, reserve=left.reserve_bytes / MIB)
    if left.free_bytes < left.reserve_bytes:
        does = Wording(
            en="make room: agencies are refused until there is (docs/operating.md, A disk that fills up)",
            fr="faites de la place : les services sont refusés jusque-là (docs/operating.md, A disk that "
            "fills up)",
        )
        return Finding(check="disk", state=State.FAIL, says=says, do=does)
    if left.free_bytes < DISK_WARNING * left.reserve_bytes:
        does = Wording(
            en="make room, or give the volume more: below the reserve nothing new is taken on",
            fr="faites de la place ou agrandissez le volume : sous la réserve, plus rien de nouveau "
            "n'est accepté",
        )
        return Finding(check="disk", state=State.WARN, says=says, do=does)
    return Finding(check="disk", state=State.OK, says=says)


def clock_finding(ahead: timedelta, *, now: datetime) -> Finding:
    """Return what it means that the newest signed note is ahead of the clock by so much."""
    if ahead > CLOCK_TOLERANCE:
        says = Wording(
            en="{seconds} s behind the newest note in the logs",
            fr="en retard de {seconds} s sur la note la plus récente des journaux",
        )
        says = _counted(says, seconds=ahead.total_seconds())
        return Finding(check="clock", state=State.FAIL, says=says, do=_CLOCKS)
    says = Wording(en="{now}, not behind any signed note", fr="{now}, en retard sur aucune note signée").fill(
        now=f"{now:%Y-%m-%d %H:%M:%S}Z"
    )
    return Finding(check="clock", state=State.OK, says=says)


def peer_clock_finding(clock: PeerClock) -> Finding:
    """Return what it means that this node's clock is ahead of the peer's, or behind.

    Two seconds are tolerated, and the one that a time in whole seconds may hide.
    """
    check = "clock of the peer"
    if not clock.is_answered:
        says = Wording(en="not known: the peer was not reached", fr="inconnue : le pair n'a pas été joint")
        return Finding(check=check, state=State.WARN, says=says, do=_SEE_PEER)
    if clock.ahead is None:
        says = Wording(en="the peer does not tell its time", fr="le pair ne donne pas son heure")
        return Finding(check=check, state=State.WARN, says=says, do=_CLOCKS)
    seconds = clock.ahead.total_seconds()
    if abs(clock.ahead) <= CLOCK_TOLERANCE + timedelta(seconds=1):
        says = Wording(
            en="tells the same time as this one, within 3 s",
            fr="donne la même heure que celle-ci, à 3 s près",
        )
        return Finding(check=check, state=State.OK, says=says)
    side_en, side_fr = ("ahead of", "avance") if seconds > 0 else ("behind", "retarde")
    says = Wording(
        en=f"this clock is {{seconds}} s {side_en} the peer's",
        fr=f"cette horloge {side_fr} de {{seconds}} s sur le pair",
    )
    says = _counted(says, seconds=abs(seconds))
    state = State.FAIL if abs(clock.ahead) > REFUSED_TOLERANCE else State.WARN
    return Finding(check=check, state=state, says=says, do=_CLOCKS)


def _counted(says: Wording, **numbers: float) -> Wording:
    """Put whole numbers into a text, with the separator of thousands of each language."""
    english = {name: f"{number:,.0f}" for name, number in numbers.items()}
    # A comma would be read as a decimal comma.
    french = {name: text.replace(",", "\N{NARROW NO-BREAK SPACE}") for name, text in english.items()}
    return Wording(en=says.en.format(**english), fr=says.fr.format(**french))


def node_finding(answer: Mapping[str, Any]) -> Finding:
    """Return what a node says of itself: not to be ready is a failure, but for maintenance alone."""
    codes = [item["code"] for item in answer["reasons"]]
    # A node of a later release may give a reason that this program has no words for: then its own.
    advice = [
        HEALTH.get(item["code"]) or Advice(says=_as_said(item["says"]), do=_as_said(item["do"]))
        for item in answer["reasons"]
    ]
    says = Wording(
        en="{status}: {phase}, {waiting:message|messages} waiting to be sent, "
        "{overdue:request|requests} overdue.",
        fr="{status} : {phase}, {waiting:message|messages} en attente d'envoi, "
        "{overdue:demande|demandes} en retard.",
    ).fill(
        status=str(answer["status"]),
        phase=str(answer["phase"]),
        waiting=int(answer["waiting"]),
        overdue=int(answer["overdue"]),
    )
    if answer["status"] == "not-ready" and codes != ["maintenance"]:
        state = State.FAIL
    else:
        state = State.WARN if codes else State.OK
    return Finding(
        check="node",
        state=state,
        says=Wording(
            en=" ".join([says.en, *(item.says.en for item in advice)]),
            fr=" ".join([says.fr, *(item.says.fr for item in advice)]),
        ),
        do=Wording(en=" ".join(item.do.en for item in advice), fr=" ".join(item.do.fr for item in advice)),
    )


def _as_said(text: str) -> Wording:
    return Wording(en=text, fr=text)


def agreement_finding(own: Course, peer: Course) -> Finding:
    """Return how what both nodes have announced compares, now and after each planned change.

    Args:
        own: What this node has announced; empty if nothing.
        peer: What the peer has.
    """
    check = "agreement"
    if not own or not peer:
        says = Wording(
            en="not stated by both nodes yet: they have not met",
            fr="pas encore déclaré par les deux nœuds : ils ne se sont pas rencontrés",
        )
        does = Wording(en="see node and peer below", fr="voir nœud et pair ci-dessous")
        return Finding(check=check, state=State.WARN, says=says, do=does)
    present, peers = own[0][1], peer[0][1]
    differing = sorted(name for name in {*present, *peers} if present.get(name) != peers.get(name))
    if differing:
        says = Wording(
            en="differs in {types}: these types are refused",
            fr="diffère pour {types} : ces types sont refusés",
        ).fill(types=", ".join(differing))
        does = Wording(
            en="bring both nodes to the same release, or the same schemas",
            fr="mettez les deux nœuds à la même version, ou aux mêmes schémas",
        )
        return Finding(check=check, state=State.WARN, says=says, do=does)
    if (coming := first_difference(own, peer)) is not None:
        says = Wording(
            en="the same now, and will differ in {types} from {time} on, by what both have announced",
            fr="le même à présent, mais différera pour {types} à partir de {time}, d'après les deux annonces",
        ).fill(types=", ".join(coming[1]), time=time_text(coming[0]))
        does = Wording(
            en="both nodes have to plan the same change before then: docs/operating.md, Changing the "
            "catalogue",
            fr="d'ici là, les deux nœuds doivent prévoir le même changement : docs/operating.md, Changing "
            "the catalogue",
        )
        return Finding(check=check, state=State.WARN, says=says, do=does)
    says = Wording(en="the same {count} types on both sides", fr="les mêmes {count} types des deux côtés")
    return Finding(check=check, state=State.OK, says=says.fill(count=str(len(present))))


def database_finding(count: int, lost: Mapping[str, int]) -> Finding:
    """Return what is said of a database that lacks nothing that can come back.

    Args:
        count: How many logs it holds.
        lost: How many entries each log lacks that was closed for it: nothing brings them back, and
            that stays on record.
    """
    says = Wording(
        en="{count:log|logs}, nothing missing; entente audit verify checks every entry",
        fr="{count:journal|journaux}, rien ne manque ; entente audit verify contrôle chaque entrée",
    )
    if lost:
        says = Wording(
            en="{count:log|logs}, nothing missing but entries that were signed, and that closed logs have "
            "lost for good: {logs}; entente audit verify checks every entry",
            fr="{count:journal|journaux}, rien ne manque, sauf des entrées signées que des journaux clos ont "
            "perdues pour de bon : {logs} ; entente audit verify contrôle chaque entrée",
        )
    logs = ", ".join(f"{origin} ({number})" for origin, number in sorted(lost.items()))
    return Finding(check="database", state=State.OK, says=says.fill(count=count, logs=logs))


def backup_finding(made: datetime | None, *, now: datetime, warn_after: timedelta) -> Finding:
    """Return what it means that the newest backup is of such a time, or that none is known."""
    does = Wording(
        en="entente backup, every day (docs/runbooks.md, Backup); the limit is backups.warn_after_hours",
        fr="entente backup, chaque jour (docs/procedures.md, Sauvegarde) ; la limite est "
        "backups.warn_after_hours",
    )
    if made is None:
        says = Wording(en="none that this node knows of", fr="aucune dont ce nœud ait connaissance")
        return Finding(check="backups", state=State.WARN, says=says, do=does)
    hours = max(0, int((now - made).total_seconds() // 3_600))
    says = Wording(
        en="the newest is of {at}, {hours:hour|hours} old",
        fr="la plus récente est du {at}, il y a {hours:heure|heures}",
    ).fill(at=f"{made:%Y-%m-%d %H:%M}Z", hours=hours)
    if now - made > warn_after:
        return Finding(check="backups", state=State.WARN, says=says, do=does)
    return Finding(check="backups", state=State.OK, says=says)


def approvals_finding(
    enrolment: Enrolment | None, listed: frozenset[Enrolled], *, required: bool, proposals: int
) -> Finding:
    """Return how things stand where changes need two operators.

    Args:
        enrolment: What the database keeps of it.
        listed: Whom the registry file names.
        required: What the configuration says.
        proposals: How many are open.
    """
    check = "two operators"
    if not required:
        says = Wording(
            en="not required: one operator changes the registry and quotas",
            fr="non requis : un exploitant modifie seul le registre et les quotas",
        )
        return Finding(check=check, state=State.OK, says=says)
    if enrolment is None:
        says = Wording(
            en="required from the next start of the node on", fr="requis dès le prochain démarrage du nœud"
        )
        return Finding(check=check, state=State.OK, says=says)
    operators = Enrolment(in_force=enrolment.in_force & listed).operators()
    waiting, unconfirmed = len(listed - enrolment.in_force), len(enrolment.withdrawn)
    says = Wording(
        en="{operators:operator|operators}; {waiting:holder waits|holders wait}, "
        "{unconfirmed:withdrawal|withdrawals} unconfirmed, {proposals:proposal|proposals} open",
        fr="{operators:exploitant|exploitants} ; {waiting:titulaire|titulaires} en attente, "
        "{unconfirmed:retrait|retraits} à confirmer, {proposals:proposition ouverte|propositions ouvertes}",
    ).fill(operators=operators, waiting=waiting, unconfirmed=unconfirmed, proposals=proposals)
    if operators < OPERATORS_NEEDED:
        does = Wording(
            en="nothing can be approved: docs/operating.md, Two operators, the last line of its table",
            fr="rien ne peut être approuvé : docs/operating.md, Two operators, dernière ligne du tableau",
        )
        return Finding(check=check, state=State.FAIL, says=says, do=does)
    if waiting or unconfirmed or proposals:
        does = Wording(en="entente approval list", fr="entente approval list --language fr")
        return Finding(check=check, state=State.WARN, says=says, do=does)
    if operators == OPERATORS_NEEDED:
        does = Wording(
            en="issue a certificate to a third: with two, one on leave stops every enrolment",
            fr="délivrez un certificat à un troisième : à deux, un congé bloque toute inscription",
        )
        return Finding(check=check, state=State.WARN, says=says, do=does)
    return Finding(check=check, state=State.OK, says=says)
