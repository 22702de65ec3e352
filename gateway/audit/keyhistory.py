"""Which keys of a log are right for which of its sizes, as the key statements in it say.

Keys are replaced because they may be stolen, and what they signed before stays signed. So it is
not enough that a trusted key has signed a checkpoint: it has to be the one that the newest key
statement below its size names. Whoever only looks at signatures and tree needs this as well,
which is why it reads along there, and not with the rest of what the entries say.

Spec: docs/spec/keys.md, "Rotation"; docs/auditing.md, "What is checked".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.audit.problems import Problems
from gateway.audit.report import Check
from gateway.audit.statement import Statement, read_statement
from gateway.audit.trust import Trust
from gateway.core.entries import KeyStatementEntry, Kind, decode_entry, kind_of
from gateway.core.generation import predecessor_of
from gateway.core.signature import HybridVerifier
from gateway.errors import GatewayError, MalformedError

MAX_STATEMENTS: Final = 1_000
"""Six a year are usual; each is held in memory until the end of the verification."""

_STATEMENT: Final = int(Kind.KEY_STATEMENT)


class KeyHistory:
    """Reads the key statements among the entries of one log, in order.

    Attributes:
        stated: Each statement, with the index of its entry.
        problems: What is wrong with them.
    """

    def __init__(self, origin: str) -> None:
        """Begin with a log that has no entries."""
        self.stated: list[tuple[int, Statement]] = []
        self.problems = Problems()
        self._origin = origin
        self._node, _, name = origin.partition("/")
        self._is_exchange = name.startswith("exchange/")
        self._is_successor = predecessor_of(origin) is not None
        self._size = 0

    @property
    def first(self) -> Statement | None:
        """Return the key statement that the log opens with, or None if it opens with none.

        It stands at index 0; in a successor behind what that cites.
        """
        if not self.stated or (self.stated[0][0] != 0 and not self._is_successor):
            return None
        return self.stated[0][1]

    @property
    def last(self) -> Statement | None:
        """Return the newest key statement, or None if the log holds none."""
        return self.stated[-1][1] if self.stated else None

    def read(self, entries: Sequence[bytes]) -> None:
        """Read the next entries."""
        kinds = bytes(map(kind_of, entries))
        at = kinds.find(_STATEMENT)
        while at >= 0:
            self._statement(self._size + at, entries[at])
            at = kinds.find(_STATEMENT, at + 1)
        self._size += len(entries)

    def at(self, size: int) -> Statement | None:
        """Return the key statement whose keys are valid for the checkpoint of a size, or None."""
        return next((statement for index, statement in reversed(self.stated) if index < size), None)

    def problem(self, signer: HybridVerifier, size: int, trust: Trust) -> str:
        """Return what is wrong with a key that has signed the checkpoint of a size, or "" if it is right.

        Where no statement stands below the size, one trusted key is an answer, and several are none.
        """
        statement = self.at(size)
        if statement is not None:
            return "" if statement.names(signer) else "it is signed by keys that are not those of its size"
        if size and len(trust.log_keys(self._origin)) > 1:
            return "several keys of this log are trusted, and no key statement below its size says which"
        return ""

    def up_to(self, size: int) -> KeyHistory:
        """Return what was read of the first ``size`` entries of a log whose statements are all sound."""
        earlier = KeyHistory(self._origin)
        earlier.stated = [(index, statement) for index, statement in self.stated if index < size]
        earlier._size = size
        return earlier

    def checks(self, signer: HybridVerifier, trust: Trust) -> list[Check]:
        """Return what the statements of a log that was read to its end say of who has signed it.

        Args:
            signer: The trusted key whose signatures the checkpoint bears.
            trust: Keys that the auditor trusts.
        """
        name = "key statement"
        if self.problems.count:
            return [Check.failed(name, self.problems.text())]
        if self._is_exchange and self._size and self.first is None:
            absent = "no key statement stands in it"
            what = absent if self._is_successor else "entry 0 is not the key statement"
            return [Check.failed(name, what)]
        last = self.last
        problem = self.problem(signer, self._size, trust)
        if last is None:
            if problem:
                return [Check.failed(name, problem)]
            return [Check.not_checked(name, "this log holds none")]
        if problem:
            # The keys of a statement are valid for the sizes above it: this checkpoint's are those
            # of the newest one below its size.
            other = "the newest one names other keys than those that signed"
            return [Check.failed(name, other)]
        mode = ", test keys" if last.is_test else ""
        if trust.log(self._origin) != signer:
            mode += "; a later key of this log is trusted: this is how the log was before it"
        detail = f"version {last.version} names the keys that signed{mode}"
        return [Check.held(name, detail), self._root_check(last, trust)]

    def _root_check(self, last: Statement, trust: Trust) -> Check:
        name = "national root"
        # Which of the trusted roots has signed the statement before; the newest is number 0.
        before: int | None = None
        for _, statement in self.stated:
            if statement.is_foreign(trust):
                what = "a key statement is of the nation with which its node exchanges"
                return Check.failed(name, what)
            roots = statement.roots(trust)
            if not roots and len(trust.log_keys(self._origin)) > 1:
                # Two answers to one question: without the root nobody says which key was right when.
                what = "several keys of this log are trusted, and its root is not: add the root's keys"
                return Check.failed(name, what)
            if not roots:
                what = "its keys are not among the trusted ones"
                return Check.not_checked(name, what)
            try:
                signer = statement.verify(roots)
            except GatewayError:
                what = f"it has not signed the key statement of version {statement.version}"
                return Check.failed(name, what)
            if before is not None and signer > before:
                what = "a root that was replaced has signed a key statement behind one of its successor"
                return Check.failed(name, what)
            before = signer
        held = f"has signed the key statement of {last.node}"
        return Check.held(name, held)

    def _statement(self, index: int, data: bytes) -> None:
        try:
            entry = decode_entry(data)
        except MalformedError:
            return  # what is no entry states nothing
        assert isinstance(entry, KeyStatementEntry)  # noqa: S101 - its kind says so
        try:
            statement = read_statement(entry.statement)
        except MalformedError:
            self.problems.add(index, "holds a key statement that is not one")
            return
        if statement.node != self._node:
            self.problems.add(index, "is a key statement about another node")
        last = self.last
        if last is not None and statement.version <= last.version and statement.note != last.note:
            self.problems.add(index, "is a key statement whose version does not grow")
        if len(self.stated) == MAX_STATEMENTS:
            self.problems.add(index, "is one key statement too many")
            return
        self.stated.append((index, statement))
