"""Outgoing messages and the bundles they travel in.

A message that waits stands in two small indexes, by rank and age and by end of delivery
time, and leaves them when it is sent; so a backlog costs disk, and taking the next bundle
from a million waiting messages is a walk of a few index entries.

Every move of a state names the states it may come from (`gateway.core.states`), and the
counters follow in the same transaction.

Spec: docs/spec/exchange.md, "Sending" and "States".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.core.entries import Collection, ReceiptException
from gateway.core.merkle import Hash
from gateway.core.receipt import ExceptionCode, state_after
from gateway.core.states import State, is_void
from gateway.errors import StoreError
from gateway.ports import CollectionRow, MessageRow, NewMessage, SentBundle, Waiting
from gateway.storage import outbox_sql as sql
from gateway.storage.breaks import Breaks
from gateway.storage.effects import undo_effects
from gateway.storage.rows import HEADER_WIDTH, NO_LIMIT, header_from, insert_messages, message_row
from gateway.storage.session import Row

FEW: Final = 64
"""So many less urgent messages may wait for the predecessors of an urgent one to be looked for among them."""


class SqlOutbox(Breaks):
    """Implements `gateway.ports.Outbox` on a session."""

    def insert(self, messages: Sequence[NewMessage]) -> None:
        """Store accepted messages with their content, in this order."""
        first = insert_messages(self._session, messages)
        self._session.move(None, State.ACCEPTED, len(messages))
        for number, message in enumerate(messages, first):
            self._session.recent.put(
                Waiting(
                    number=number,
                    message_id=message.message_id,
                    header=message.header,
                    rank=message.rank,
                    ciphertext=message.ciphertext,
                    wrapped_key=message.wrapped_key,
                )
            )

    def raise_ranks(self, ranks: Mapping[bytes, int]) -> list[tuple[bytes, int]]:
        """Let waiting predecessors inherit a precedence, by conversation; return each with its new one."""
        # Mostly no or few messages that are less urgent wait; then it does not matter how long the
        # conversations are.
        found = self._session.all(sql.LESS_URGENT, than=min(ranks.values()), most=FEW + 1)
        raised: defaultdict[int, list[tuple[int, bytes]]] = defaultdict(list)
        if len(found) > FEW:
            for conversation_id, rank in ranks.items():
                raised[rank] += self._session.all(sql.LESS_URGENT_IN, conversation=conversation_id, than=rank)
        else:
            for number, conversation_id, rank, message_id in found:
                inherited = ranks.get(conversation_id, rank)
                if inherited < rank:
                    raised[inherited].append((number, message_id))
        for rank, rows in raised.items():
            self._session.change_listed(sql.RAISE_THESE, [number for number, _ in rows], to=rank)
        return [(message_id, rank) for rank, rows in raised.items() for _, message_id in rows]

    def waiting(self, *, limit: int, max_bytes: int) -> list[Waiting]:
        """Return accepted messages by rank, then age, until a limit is reached.

        At least one message is returned if any waits, whatever its size. Lengths are read
        first: however large the waiting messages are, no more than ``max_bytes`` (or one
        message) is in memory.
        """
        find = self._session.recent.find
        order: list[tuple[int, int, Waiting | None]] = [
            (number, rank, find(number)) for number, rank in self._session.all(sql.WAITING, most=limit)
        ]
        unread = {
            row[HEADER_WIDTH]: row
            for row in self._session.listed(
                sql.HEADERS, [number for number, _, kept in order if kept is None]
            )
        }
        total = 0
        chosen: list[tuple[int, int, Waiting | None]] = []
        for number, rank, kept in order:
            total += (unread[number][-1] or 0) if kept is None else len(kept.ciphertext)
            if chosen and total > max_bytes:
                break
            chosen.append((number, rank, kept))
        sealed = {
            number: (ciphertext, wrapped_key)
            for number, ciphertext, wrapped_key in self._session.listed(
                sql.CONTENTS, [number for number, _, kept in chosen if kept is None]
            )
        }
        return [
            _ranked(kept, rank)
            if kept is not None
            else _read(number, rank, unread[number], sealed.get(number, _ERASED))
            for number, rank, kept in chosen
        ]

    def count(self, state: State) -> int:
        """Return how many outgoing messages are in a state."""
        return self._session.count(state)

    def mark_sent(self, sent: Sequence[tuple[int, int]], *, at_ms: int) -> None:
        """Move messages (number, log index) from *accepted* to *sent*.

        Raises:
            StoreError: One of them was not *accepted* any more.
        """
        if not sent:
            return
        self._session.many(sql.SENT_ENTRY, [(index, number) for number, index in sent])
        indexes = [index for _, index in sent]
        moved = self._session.change(sql.SEND, first=min(indexes), stop=max(indexes) + 1, at=at_ms)
        if moved != len(sent):
            msg = "a message that was to be sent is not waiting any more"
            raise StoreError(msg)
        self._session.move(State.ACCEPTED, State.SENT, len(sent))
        self._session.recent.drop([number for number, _ in sent])

    def put_bundle(self, bundle: SentBundle) -> None:
        """Store the run of entries that was just appended."""
        row: Row = (
            bundle.start,
            bundle.end,
            bundle.root,
            bundle.sequenced_ms,
            bundle.messages,
        )
        self._session.many(sql.INSERT_BUNDLE, [row])
        self._session.many(sql.INSERT_SHIPMENT, [(bundle.start, bundle.box, bundle.note)])

    def grow_bundle(self, start: int, *, end: int, root: Hash) -> None:
        """Let the unsigned bundle that begins at ``start`` take in what was just appended behind it.

        Raises:
            StoreError: It is signed, or there is none.
        """
        if self._session.change(sql.GROW_BUNDLE, first=start, until=end, hash=root) != 1:
            msg = "a bundle that was to grow is signed, or is not there"
            raise StoreError(msg)

    def set_note(self, start: int, note: bytes) -> None:
        """Store the signed note of the bundle that begins at ``start``."""
        self._session.many(sql.SET_NOTE, [(start, note)])

    def bundles_from(self, index: int, *, limit: int) -> list[SentBundle]:
        """Return bundles that end behind ``index``, in order."""
        return [
            SentBundle(
                start=start,
                count=stop - start,
                root=Hash(root),
                box=box,
                note=note,
                sequenced_ms=sequenced_ms,
                messages=count,
            )
            for start, stop, root, sequenced_ms, count, box, note in self._session.all(
                sql.BUNDLES, index=index, most=limit
            )
        ]

    def ciphertexts(self, start: int, end: int) -> list[bytes | None]:
        """Return the ciphertext of each message entry in a range of the own log, in order."""
        return [row[0] for row in self._session.all(sql.CIPHERTEXTS, first=start, stop=end)]

    def delivered(self, up_to: int, *, at_ms: int) -> int:
        """Move sent messages below an index to *delivered*, forget boxes; return how many."""
        moved = self._session.change(sql.DELIVER, below=up_to, at=at_ms)
        self._session.move(State.SENT, State.DELIVERED, moved)
        self._session.change(sql.FORGET_SHIPMENTS, below=up_to)
        return moved

    def received(
        self,
        *,
        start: int,
        end: int,
        decided_ms: int,
        receipt_index: int,
        exceptions: Sequence[ReceiptException],
    ) -> bool:
        """Apply a receipt: *received* for the range, but what `state_after` says for exceptions.

        The numbers of messages that end here are void, and the log has to say so.

        Returns:
            True if something is due to be sent: a message once more, or a void.
        """
        # The exceptions go first: what they leave is no longer open and keeps its state.
        by_index = {item.index: item for item in exceptions if start <= item.index < end}
        changes: list[Row] = []
        voids: list[Row] = []
        ended: list[int] = []
        anew: list[int] = []
        for index, number, source, sendings, receipt, exception, delivered_ms, *place in self._session.listed(
            sql.OPEN_AT, by_index
        ):
            item = by_index[index]
            was_received = _was_received(receipt, exception)
            target, was = _after(State(source), item.code, sendings)
            # What is *sent* has a time of delivery only if the peer has cosigned it and then lost it.
            was_cosigned = State(source) is State.SENT and exception is None and delivered_ms is not None
            if target is State.ACCEPTED and (was_received or was_cosigned):
                anew.append(number)
                self._session.move(State(source), target, 1)
                continue
            if was_received:
                continue  # and stays so: see `taken_back`
            entry = None if target is State.ACCEPTED else index
            said = (entry, decided_ms, decided_ms, receipt_index, item.code, item.rule)
            changes.append((int(target), *said, None if was is None else int(was), number))
            if source != target:
                self._session.move(State(source), target, 1)
            # The peer holds the number of a duplicate already: its first copy uses it.
            if target is not State.ACCEPTED and item.code != ExceptionCode.DUPLICATE:
                voids.append((*place, True))
            if is_void(target, was):
                ended.append(number)
        self._session.many(sql.EXCEPT, changes)
        self._session.change_listed(sql.SEND_ANEW, anew)
        self._session.many(sql.PUT_VOID, voids)
        self._answer_erased(start, end, decided_ms, receipt_index, [change[-1] for change in changes])
        if ended:
            undo_effects(self._session, ended)
        for source, statement in sql.RECEIVED.items():
            moved = self._session.change(
                statement, first=start, stop=end, at=decided_ms, receipt=receipt_index
            )
            self._session.move(source, State.RECEIVED, moved)
        return bool(voids or anew) or any(change[0] == State.ACCEPTED for change in changes)

    def taken_back(self, exceptions: Sequence[ReceiptException]) -> list[tuple[int, int]]:
        """Return (number, place of the earlier receipt) of messages that were received and would end."""
        by_index = {item.index: item for item in exceptions}
        return [
            (number, receipt)
            for index, number, source, sendings, receipt, exception, *_ in self._session.listed(
                sql.OPEN_AT, by_index
            )
            if _was_received(receipt, exception)
            and _after(State(source), by_index[index].code, sendings)[0] is not State.ACCEPTED
        ]

    def stay_received(self, number: int, *, start: int, end: int) -> None:
        """Let a message be *received* as an earlier receipt says, at its entry in the range of that.

        It is *collected* if its addressees had it then.
        """
        row = self._session.first(sql.ENTRY_WITHIN, message=number, first=start, stop=end)
        state = self._session.first(sql.STATE_OF, message=number)
        if row is None or state is None:
            msg = "a message does not stand where an earlier receipt received it"
            raise StoreError(msg)
        source, to_agencies = state
        self._session.many(sql.STAY_RECEIVED, [(row[0], number)])
        self._session.change_listed(sql.ANSWERED, [number])
        if source in _OPEN:
            self._session.move(State(source), State.RECEIVED, 1)
            if self._session.listed(sql.COLLECTED_BY, [number]):
                self._complete({number: (State.RECEIVED, len(set(to_agencies.split(" "))))})

    def _answer_erased(
        self, start: int, end: int, decided_ms: int, receipt_index: int, excepted: Sequence[int]
    ) -> None:
        """Record what a receipt says of messages that were erased on their way."""
        if self._session.first(sql.ANY_UNANSWERED) is None:
            return
        open_ = [row[0] for row in self._session.all(sql.UNANSWERED, first=start, stop=end)]
        if not open_:
            return
        received = [number for number in open_ if number not in excepted]
        self._session.many(
            sql.RECEIVED_ERASED, [(decided_ms, decided_ms, receipt_index, number) for number in received]
        )
        self._session.change_listed(sql.ANSWERED, open_)

    def collected(self, collections: Sequence[Collection], *, log_index: int) -> None:
        """Record that addressees acknowledged; *collected* once all of them have."""
        addressed: dict[int, tuple[int, int, list[str]]] = {
            index: (number, state, to_agencies.split(" "))
            for index, number, state, to_agencies in self._session.listed(
                sql.ADDRESSED_AT, [item.index for item in collections]
            )
        }
        new: list[Row] = []
        open_: dict[int, tuple[int, int]] = {}
        for item in collections:
            number, state, to_agencies = addressed.get(item.index, _NOBODY)
            if item.agency in to_agencies:
                new.append((number, item.agency, item.at_ms, log_index))
                open_[number] = (state, len(set(to_agencies)))
        self._session.many(sql.COLLECT, new)
        self._complete(open_)

    def _complete(self, open_: dict[int, tuple[int, int]]) -> None:
        """Let messages, with state and number of addressees, be *collected* if all of these have them."""
        shared = [number for number, (_, addressees) in open_.items() if addressees > 1]
        collected: dict[int, int] = dict(self._session.listed(sql.COLLECTED_BY, shared))
        for source, statement in sql.COMPLETE.items():
            whole = [
                number
                for number, (state, addressees) in open_.items()
                if state == source and collected.get(number, 1) == addressees
            ]
            moved = self._session.change_listed(statement, whole)
            self._session.move(source, State.COLLECTED, moved)

    def newest_number(self) -> int:
        """Return the number of the newest message of either direction, 0 for none."""
        row = self._session.first(sql.NEWEST)
        return 0 if row is None or row[0] is None else int(row[0])

    def has_expired(self, now_ms: int, *, above: int = 0) -> bool:
        """Return whether the delivery time of a waiting message with a higher number is over."""
        return self._session.first(sql.HAS_EXPIRED, now=now_ms, above=above) is not None

    def expire(self, now_ms: int, *, limit: int, above: int = 0) -> list[MessageRow]:
        """Move waiting messages whose delivery time is over to *expired* and return them."""
        rows = [
            message_row(row) for row in self._session.all(sql.EXPIRED, now=now_ms, most=limit, above=above)
        ]
        return self._end(rows, State.EXPIRED, now_ms)

    def withdraw(self, message_id: bytes, agency: str, *, at_ms: int | None = None) -> MessageRow | None:
        """Move an *accepted* message of an agency to *withdrawn*; None if it is not there.

        The row is returned as it was before; the caller looks at its state.
        """
        row = self.find(message_id, agency)
        if row is not None and row.state is State.ACCEPTED:
            self._end([row], State.WITHDRAWN, at_ms)
        return row

    def find(self, message_id: bytes, agency: str) -> MessageRow | None:
        """Return a message that this agency posted, or None."""
        row = self._session.first(sql.POSTED, id=message_id, agency=agency)
        return None if row is None else message_row(row)

    def listing(self, agency: str, *, after: int, limit: int) -> list[MessageRow]:
        """Return messages that an agency posted, newest first, with a number below ``after``.

        ``after`` 0 means from the newest.
        """
        rows = self._session.all(sql.LISTING, agency=agency, below=after or NO_LIMIT, most=limit)
        return [message_row(row) for row in rows]

    def addressees(self, message_id: bytes) -> list[CollectionRow]:
        """Return the addressees of a message in the order of the message."""
        rows = self._session.all(sql.ADDRESSEES, id=message_id)
        collected = {agency: (collected_ms, log_index) for _, agency, collected_ms, log_index in rows}
        return [
            CollectionRow(agency=agency, collected_ms=collected_ms, log_index=log_index)
            for to_agencies, *_ in rows[:1]
            for agency in dict.fromkeys(to_agencies.split(" "))
            for collected_ms, log_index in (collected.get(agency, _NEVER),)
        ]

    def put_void(self, conversation_id: bytes, agency: str, seq: int) -> None:
        """Remember that a number will never be used and that the log has to say so."""
        self._session.many(sql.PUT_VOID, [(conversation_id, agency, seq, True)])

    def take_voids(self, *, limit: int) -> list[tuple[bytes, str, int]]:
        """Return voids that the log does not hold yet, and mark them as logged now."""
        found = [(row[0], row[1], row[2]) for row in self._session.all(sql.VOIDS, most=limit)]
        self._session.many(sql.VOID_LOGGED, found)
        return found

    def _end(self, rows: list[MessageRow], target: State, at_ms: int | None) -> list[MessageRow]:
        numbers = [row.number for row in rows]
        moved = self._session.change_listed(sql.END, numbers, to=int(target), at=at_ms)
        self._session.move(State.ACCEPTED, target, moved)
        if rows:
            undo_effects(self._session, numbers)
            self._session.recent.drop(numbers)
        return [replace(row, state=target, decided_ms=at_ms) for row in rows]


_OPEN: Final = frozenset({State.SENT, State.DELIVERED})
_ERASED: Final[tuple[None, None]] = (None, None)
_NEVER: Final[tuple[None, None]] = (None, None)
_NOBODY: Final[tuple[int, int, list[str]]] = (0, 0, [])


def _ranked(message: Waiting, rank: int) -> Waiting:
    """Return a message as it waits now: a later one may have given it its own precedence."""
    return message if message.rank == rank else replace(message, rank=rank)


def _read(number: int, rank: int, header: Row, sealed: tuple[Any, Any]) -> Waiting:
    ciphertext, wrapped_key = sealed
    return Waiting(
        number=number,
        message_id=header[2],
        header=header_from(header[:HEADER_WIDTH]),
        rank=rank,
        ciphertext=ciphertext,
        wrapped_key=wrapped_key,
    )


def _was_received(receipt: int | None, exception: int | None) -> bool:
    """Return whether a receipt said that a message was received, whether or not it is so now."""
    return receipt is not None and exception is None


def _after(source: State, code: int, sendings: int) -> tuple[State, State | None]:
    """Return the state after an exception; of an erased message also what it is beside that."""
    target = _state_after(code, sendings)
    if source is not State.ERASED and target is not State.ERASED:
        return target, None
    # Nothing is left that could be sent again.
    return State.ERASED, State.EXPIRED if target is State.EXPIRED else State.REFUSED


def _state_after(code: int, sendings: int) -> State:
    try:
        return state_after(ExceptionCode(code), sendings=sendings)
    except ValueError:
        # A number of a later version of the protocol: not received, and not sent again.
        return State.REFUSED
