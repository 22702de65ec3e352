"""What a node signed and cosigned before, held against the logs that its database holds now.

The high-water file lies apart from the database and says for each log how far it was signed. What is
missing of that in the database was lost, or taken away. It is no surprise where the loss is on record: a
successor of the audit log cites what was lost, the exchange log tells both nations of it, or both nations
went on in another generation of the exchange logs. Then it is said and not reproached.

Spec: docs/spec/log.md, "Successors"; docs/auditing.md, "Two logs side by side".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.audit.report import Check
from gateway.audit.succession import Cited
from gateway.audit.verify import Verification
from gateway.cli.home_logs import HomeLogs, StoredLog, log_name
from gateway.core.generation import first_of, number_of
from gateway.core.merkle import Hash
from gateway.core.message.wording import counted
from gateway.ports import LogKind

_ENDS_WITHIN: Final = 1
"""Last entry of a successor that says where the logs before it ended: own log, then mirror."""


class Losses:
    """What verified logs of a home say was lost."""

    def __init__(
        self, node: str, found: Sequence[Verification], vouched: Sequence[tuple[Verification, int]]
    ) -> None:
        """Read them.

        Args:
            node: Whose home it is.
            found: The logs, verified by themselves.
            vouched: Those of which a part is cosigned, and its size: the other node holds it alike.
        """
        logs = [item.contents for item in found if item.report.is_verified and item.contents is not None]
        own = [log for log in logs if log.node == node and log.citation is not None]
        self._successors = [log for log in own if log.is_exchange]
        self._cited = {log.citation.signed for log in own if log.citation is not None}
        # A successor that cites a loss goes on behind the log of which the exchange log tells one.
        lossy = [log for log in own if log.is_audit and log.citation is not None and log.citation.is_loss]
        newest = max((number_of(log.origin) for log in lossy), default=0)
        self._told = {
            Cited(origin=origin, size=signed, root=root)
            for item, size in vouched
            if item.report.is_verified and item.contents is not None and item.contents.node == node
            for origin, claims in item.contents.restores.items()
            if first_of(origin) == f"{node}/audit" and number_of(origin) < newest
            for at, signed, root in claims
            if at < size
        }

    def tells(self, origin: str, mark: tuple[int, Hash], held: int) -> str:
        """Return who says that entries of a log were lost which were signed, or "".

        Args:
            origin: The log.
            mark: Size and root as they were signed.
            held: How many entries are left.
        """
        lost = Cited(origin=origin, size=mark[0], root=mark[1])
        if lost in self._cited:
            return "it was closed, its successor says so"
        if lost in self._told:
            return "it was closed, the exchange log says so"
        for log in self._successors:
            # As short when the next generation opened, and no shorter now; or of one that was passed over.
            ends = {of: said.sizes[0] for of, said in log.anchored.items() if said.said_at[0] <= _ENDS_WITHIN}
            passed_over = any(
                first_of(of) == first_of(origin) and number_of(of) < number_of(origin) < number_of(log.origin)
                for of in ends
            )
            if passed_over or (origin in ends and ends[origin] < mark[0] and ends[origin] <= held):
                return f"given up when {log.origin} opened"
        return ""


def high_water_checks(home: HomeLogs, logs: Sequence[StoredLog], losses: Losses) -> list[Check]:
    """Compare the database with what the high-water file says was signed or cosigned.

    Entries and roots count, not the newest note, which is stored after its mark.

    Args:
        home: The home.
        logs: The logs that its database holds.
        losses: What is said to be lost.
    """
    stored = {log.head.origin: log for log in logs}
    # The file knows the other node's audit log as well, of which a node holds no entries.
    own = [origin for origin in home.marks if origin in stored or log_name(origin, home.config) != origin]
    return [_check(home, origin, stored.get(origin), losses) for origin in sorted(own)]


def _check(home: HomeLogs, origin: str, log: StoredLog | None, losses: Losses) -> Check:
    name = f"high water of {origin}"
    size, root = home.marks[origin]
    held = 0 if log is None else log.head.size
    signed = counted(size, "entry was signed", "entries were signed")
    if held < size:
        why = losses.tells(origin, (size, root), held)
        if why:
            left = f"{signed}, {counted(held, 'is', 'are')} left"
            return Check.not_checked(name, f"{left}: {why}")
        detail = f"{signed}, but the database knows of {held}: it was rolled back"
    elif home.root_at(origin, size) != root:
        detail = f"another root was signed for size {size}"
    elif log is not None and log.newest is None and log.head.kind is not LogKind.AUDIT:
        # The first note of an audit log alone may come after its mark.
        detail = f"{signed}, but the database holds no note of that"
    else:
        held_text = f"{signed} before, and nothing is missing of that"
        return Check.held(name, held_text)
    return Check.failed(name, detail)
