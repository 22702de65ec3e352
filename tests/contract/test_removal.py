"""The end of content: what is due, what erasing leaves, what is ordered, what is held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.entries import ReceiptException
from gateway.core.message.retention import AT_ONCE, Ending, Ground, Retention
from gateway.core.receipt import ExceptionCode
from gateway.core.states import State
from gateway.ports import Erasure, Hold, MessageRow, NewMessage, PostName, Step, Transaction
from gateway.storage.store import SqlStore
from tests.contract.builders import BOSTON, LYON, digest, identifier, incoming, outgoing, send

NOW = 10_000


def kept_until(message: NewMessage, erase_ms: int, ground: Ground = Ground.DELETE_BY) -> NewMessage:
    return replace(message, retention=Retention(erase_ms=erase_ms, ground=ground))


async def post(store: SqlStore, *messages: NewMessage) -> None:
    await store.write(Step.ACCEPTED, lambda tx: tx.outbox.insert(messages))


async def arrive(store: SqlStore, *messages: NewMessage) -> None:
    await store.write(Step.MIRRORED, lambda tx: tx.inbox.insert(messages))


async def due(store: SqlStore, now_ms: int = NOW) -> list[bytes]:
    rows = await store.read(lambda tx: tx.removal.due(now_ms, limit=100))
    assert await store.read(lambda tx: tx.removal.has_due(now_ms)) == bool(rows)
    return [row.message_id for row in rows]


async def erase(store: SqlStore, *, logged: bool = False, audit_index: int = 7) -> None:
    await store.write(
        Step.ERASED,
        lambda tx: tx.removal.erase(
            tx.removal.due(NOW, limit=100), at_ms=NOW, audit_index=audit_index, logged=logged
        ),
    )


async def row_of(store: SqlStore, word: str) -> MessageRow:
    found = await store.read(lambda tx: tx.removal.find(identifier(word)))
    assert found is not None
    return found[0]


async def answer(store: SqlStore, start: int, end: int, *exceptions: ReceiptException) -> bool:
    return await store.write(
        Step.MIRRORED,
        lambda tx: tx.outbox.received(
            start=start, end=end, decided_ms=9_000, receipt_index=4, exceptions=exceptions
        ),
    )


async def voids(store: SqlStore) -> list[tuple[bytes, str, int]]:
    return await store.write(Step.SEQUENCED, lambda tx: tx.outbox.take_voids(limit=100))


def ending(word: str, ground: Ground = Ground.RETRACTION, erase_ms: int = AT_ONCE) -> Ending:
    return Ending(target=identifier(word), retention=Retention(erase_ms=erase_ms, ground=ground))


# --- what is due -------------------------------------------------------------------------


async def test_content_is_due_when_its_time_has_come_the_longest_overdue_first(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("a"), NOW), kept_until(outgoing("b"), NOW + 1), outgoing("c"))
    await arrive(store, kept_until(incoming("d", log_index=3), NOW - 1))

    assert await due(store, NOW - 2) == []
    assert await due(store) == [identifier("d"), identifier("a")]


async def test_no_more_is_due_at_once_than_was_asked_for(store: SqlStore) -> None:
    await post(store, *(kept_until(outgoing(), n) for n in range(5)))
    assert len(await store.read(lambda tx: tx.removal.due(NOW, limit=3))) == 3


# --- what erasing leaves -----------------------------------------------------------------


async def test_an_erased_message_has_no_content_and_keeps_its_row(store: SqlStore) -> None:
    await arrive(store, kept_until(incoming("d", log_index=3), 1))

    await erase(store)

    assert await store.read(lambda tx: tx.threads.content(identifier("d"))) is None
    row = await row_of(store, "d")
    assert (row.state, row.was, row.erase_ms, row.ground) == (
        State.ERASED,
        State.RECEIVED,
        None,
        Ground.DELETE_BY,
    )
    assert not row.is_void
    assert await due(store, 2**50) == []
    found = await store.read(lambda tx: tx.inbox.find(identifier("d"), LYON))
    assert found is not None
    assert (found.ciphertext, found.wrapped_key) == (None, None)


async def test_an_erasure_is_found_with_the_places_where_it_is_on_record(store: SqlStore) -> None:
    await arrive(store, kept_until(incoming("d", log_index=3), 1))
    await erase(store, logged=True, audit_index=12)
    assert await store.read(lambda tx: tx.removal.due_entries(limit=10)) == [
        ((await row_of(store, "d")).number, False, 3)
    ]

    number = (await row_of(store, "d")).number
    await store.write(Step.SEQUENCED, lambda tx: tx.removal.entries_logged([number], log_index=40))

    found = await store.read(lambda tx: tx.removal.find(identifier("d")))
    assert found is not None
    assert found[1] == Erasure(at_ms=NOW, audit_index=12, log_index=40)
    assert await store.read(lambda tx: tx.removal.due_entries(limit=10)) == []


async def test_an_erasure_that_both_sides_foresaw_is_not_due_for_the_exchange_log(store: SqlStore) -> None:
    await arrive(store, kept_until(incoming("d", log_index=3), 1))
    await erase(store, logged=False)
    assert await store.read(lambda tx: tx.removal.due_entries(limit=10)) == []


async def test_an_erased_message_that_waited_is_never_sent_and_its_number_is_void(store: SqlStore) -> None:
    message = kept_until(outgoing("a"), 1)
    await post(store, message)

    await erase(store, logged=True)

    assert await store.read(lambda tx: tx.outbox.waiting(limit=1, max_bytes=1)) == []
    assert (await row_of(store, "a")).is_void
    assert await voids(store) == [(message.conversation_id, LYON, 1)]
    # No entry of the log names the message, so none can name its erasure.
    assert await store.read(lambda tx: tx.removal.due_entries(limit=10)) == []


async def test_the_counters_follow_an_erasure(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("a"), 1), outgoing("b"))
    await arrive(store, kept_until(incoming("d", log_index=3), 1))

    await erase(store)

    counts = await store.read(lambda tx: [tx.outbox.count(s) for s in (State.ACCEPTED, State.ERASED)])
    assert counts == [1, 1]


async def test_erasing_a_message_on_its_way_takes_its_bundle_s_box_along(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("a"), 1), outgoing("b"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))

    await erase(store)

    (bundle,) = await store.read(lambda tx: tx.outbox.bundles_from(0, limit=5))
    assert bundle.box is None
    assert await store.read(lambda tx: tx.outbox.ciphertexts(0, 2)) == [None, b"ciphertext of b"]


async def test_erasing_leaves_the_boxes_of_other_bundles(store: SqlStore) -> None:
    await post(store, outgoing("a"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    await post(store, kept_until(outgoing("b"), 1))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 1))
    await post(store, outgoing("c"))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 2))

    await erase(store)

    found = await store.read(lambda tx: tx.outbox.bundles_from(0, limit=5))
    assert [bundle.box for bundle in found] == [b"box", None, b"box"]


async def test_what_a_repeated_post_is_recognised_by_goes_with_the_content(store: SqlStore) -> None:
    await post(store, kept_until(replace(outgoing("a"), post_digest=digest("body")), 1))
    rows = [
        (LYON, "key", digest("body"), identifier("a"), 1),
        (LYON, "other", digest("o"), identifier("b"), 1),
    ]
    await store.write(Step.ACCEPTED, lambda tx: tx.facts.put_idempotent(rows))

    await erase(store)

    names: list[PostName] = [(LYON, "key"), (LYON, "other"), (LYON, identifier("a"))]
    assert await store.read(lambda tx: tx.facts.idempotent(names)) == {
        (LYON, "key"): (b"", identifier("a")),
        (LYON, identifier("a")): (b"", identifier("a")),
        (LYON, "other"): (digest("o"), identifier("b")),
    }


async def test_a_refused_message_stays_void_when_it_is_erased(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("a"), 1))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    await answer(store, 0, 1, ReceiptException(index=0, code=ExceptionCode.RULE, rule=3))
    await erase(store)
    assert (await row_of(store, "a")).is_void


# --- erased on its way -------------------------------------------------------------------


async def test_a_receipt_is_kept_for_a_message_that_was_erased_on_its_way(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("a"), 1))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    await erase(store)

    assert await answer(store, 0, 1) is False

    row = await row_of(store, "a")
    assert (row.state, row.was, row.receipt_index) == (State.ERASED, State.RECEIVED, 4)
    assert not row.is_void
    assert await voids(store) == []


@pytest.mark.parametrize("code", [ExceptionCode.ERASED, ExceptionCode.CONTENT_LOST, ExceptionCode.RULE])
async def test_a_message_that_was_erased_on_its_way_and_not_received_is_void(
    store: SqlStore, code: ExceptionCode
) -> None:
    message = kept_until(outgoing("a"), 1)
    await post(store, message)
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    await erase(store)

    assert await answer(store, 0, 1, ReceiptException(index=0, code=code, rule=None)) is True

    row = await row_of(store, "a")
    assert (row.state, row.was, row.exception) == (State.ERASED, State.REFUSED, code)
    assert row.is_void
    assert await voids(store) == [(message.conversation_id, LYON, 1)]
    assert await store.read(lambda tx: tx.outbox.count(State.ERASED)) == 1


async def test_a_later_receipt_says_nothing_new_of_an_erased_message(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("a"), 1))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    await answer(store, 0, 1)
    await erase(store)

    await answer(store, 0, 1, ReceiptException(index=0, code=ExceptionCode.ERASED, rule=None))

    row = await row_of(store, "a")
    assert (row.was, row.exception) == (State.RECEIVED, None)
    assert await voids(store) == []


# --- what is ordered ---------------------------------------------------------------------


async def settle(store: SqlStore) -> int:
    """Settle what can be; whoever asks before is told whether there is anything."""
    has_some = await store.read(lambda tx: tx.removal.has_endings())
    count = await _settle(store)
    assert has_some == (count > 0)
    return count


async def _settle(store: SqlStore) -> int:
    return await store.write(Step.ERASED, lambda tx: tx.removal.settle_endings(limit=100))


async def test_what_a_received_message_orders_is_due_at_once(store: SqlStore) -> None:
    await arrive(store, kept_until(incoming("target", log_index=3), 2**40))
    await arrive(store, replace(incoming("retraction", log_index=4), endings=(ending("target"),)))
    assert await due(store) == []

    assert await settle(store) == 1

    assert await due(store) == [identifier("target")]
    assert (await row_of(store, "target")).ground is Ground.RETRACTION
    assert await settle(store) == 0


async def test_what_an_own_message_orders_holds_once_the_peer_has_received_it(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("target"), 2**40))
    await post(store, replace(outgoing("retraction"), endings=(ending("target"),)))
    assert await settle(store) == 0
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))
    assert await settle(store) == 0

    await answer(store, 0, 2)

    assert await settle(store) == 1
    assert await due(store) == [identifier("target")]


async def test_what_a_message_orders_that_did_not_arrive_is_dropped(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("target"), 2**40))
    await post(store, replace(outgoing("retraction"), endings=(ending("target"),)))
    await store.write(Step.SEQUENCED, lambda tx: send(tx, 0))

    await answer(store, 0, 2, ReceiptException(index=1, code=ExceptionCode.RULE, rule=1))

    assert await settle(store) == 1
    assert await due(store) == []


async def test_a_message_orders_nothing_about_those_of_the_other_nation(store: SqlStore) -> None:
    await post(store, kept_until(outgoing("ours"), 2**40))
    await arrive(store, replace(incoming("retraction", log_index=4), endings=(ending("ours"),)))
    assert await settle(store) == 1
    assert await due(store) == []


async def test_a_message_that_orders_something_about_an_unknown_one_orders_nothing(store: SqlStore) -> None:
    await arrive(store, replace(incoming("retraction", log_index=4), endings=(ending("unknown"),)))
    assert await settle(store) == 1
    await arrive(store, incoming("unknown", log_index=5))
    assert await settle(store) == 0
    assert await due(store) == []


async def test_an_order_of_its_own_waits_for_a_message_that_comes_back_after_a_restore(
    store: SqlStore,
) -> None:
    await store.write(Step.ERASED, lambda tx: tx.removal.put_ending(ending("later", Ground.ORDER)))
    assert await settle(store) == 0

    await arrive(store, incoming("later", log_index=5))

    assert await settle(store) == 1
    assert await due(store) == [identifier("later")]


async def test_a_change_of_use_does_not_take_a_retraction_back(store: SqlStore) -> None:
    await arrive(store, kept_until(incoming("target", log_index=3), 2**40))
    await arrive(store, replace(incoming("retraction", log_index=4), endings=(ending("target"),)))
    await settle(store)
    later = ending("target", Ground.USE_CHANGE, 2**45)
    await arrive(store, replace(incoming("change", log_index=5), endings=(later,)))

    await settle(store)

    assert await due(store) == [identifier("target")]


@pytest.mark.parametrize("ground", [Ground.RETRACTION, Ground.CANCELLATION])
@pytest.mark.parametrize("is_changed_first", [False, True])
@pytest.mark.parametrize("turn", range(4))
async def test_a_change_of_use_does_not_take_back_a_retraction_that_is_settled_with_it(
    store: SqlStore, ground: Ground, turn: int, *, is_changed_first: bool
) -> None:
    # Ids follow from the words, so some turns have the id of the retraction first and some the other.
    retraction = replace(incoming(f"retraction {turn}", log_index=4), endings=(ending("target", ground),))
    later = ending("target", Ground.USE_CHANGE, 2**45)
    change = replace(incoming(f"change {turn}", log_index=5), endings=(later,))
    await arrive(store, kept_until(incoming("target", log_index=3), 2**40))
    await arrive(store, *((change, retraction) if is_changed_first else (retraction, change)))

    assert await settle(store) == 2

    assert await due(store) == [identifier("target")]
    assert (await row_of(store, "target")).ground is ground


@pytest.mark.parametrize("turn", range(4))
async def test_of_two_changes_of_use_that_are_settled_together_the_later_one_counts(
    store: SqlStore, turn: int
) -> None:
    await arrive(store, kept_until(incoming("target", log_index=3), 2**40))
    changes = [
        replace(
            incoming(f"{word} {turn}", log_index=index),
            endings=(ending("target", Ground.USE_CHANGE, NOW + index),),
        )
        for index, word in enumerate(("first", "second"), 4)
    ]
    await arrive(store, *changes)

    assert await settle(store) == 2

    assert (await row_of(store, "target")).erase_ms == NOW + 5


async def test_a_change_of_use_moves_the_date(store: SqlStore) -> None:
    await arrive(store, kept_until(incoming("target", log_index=3), 1))
    later = ending("target", Ground.USE_CHANGE, NOW + 1)
    await arrive(store, replace(incoming("change", log_index=5), endings=(later,)))

    await settle(store)

    assert await due(store) == []
    assert await due(store, NOW + 1) == [identifier("target")]


@pytest.mark.parametrize("is_outgoing", [False, True])
async def test_an_entry_of_the_log_is_found_as_the_message_it_is(
    store: SqlStore, *, is_outgoing: bool
) -> None:
    if is_outgoing:
        await post(store, outgoing("target"))
        await store.write(Step.SEQUENCED, lambda tx: send(tx, 3))
    else:
        await arrive(store, incoming("target", log_index=3))

    def look(tx: Transaction) -> list[bytes | None]:
        return [
            tx.removal.message_at(index, outgoing=outgoing_)
            for index, outgoing_ in ((3, is_outgoing), (3, not is_outgoing), (99, is_outgoing))
        ]

    assert await store.read(look) == [identifier("target"), None, None]


# --- holds -------------------------------------------------------------------------------


def hold(word: object, *, conversation: bool = False) -> Hold:
    return Hold(subject=identifier(word), conversation=conversation, at_ms=5, reason="Case 12")


async def set_hold(store: SqlStore, value: Hold) -> int:
    return await store.write(Step.HELD, lambda tx: tx.removal.hold(value))


async def lift(store: SqlStore, value: Hold) -> bool:
    return await store.write(
        Step.HELD, lambda tx: tx.removal.lift(value.subject, conversation=value.conversation)
    )


async def test_a_held_message_is_not_due_until_the_hold_is_lifted(store: SqlStore) -> None:
    await arrive(store, kept_until(incoming("a", log_index=3), 1), kept_until(incoming("b", log_index=4), 1))

    assert await set_hold(store, hold("a")) == 1
    assert await due(store) == [identifier("b")]
    assert (await row_of(store, "a")).held
    assert await store.read(lambda tx: tx.removal.held()) == 1
    assert await store.read(lambda tx: tx.removal.holds()) == [hold("a")]

    assert await lift(store, hold("a")) is True
    assert await due(store) == [identifier("a"), identifier("b")]
    assert await lift(store, hold("a")) is False


async def test_a_held_conversation_keeps_what_is_still_to_come_in_it(store: SqlStore) -> None:
    talk = identifier("talk")
    first = kept_until(incoming("a", log_index=3, conversation_id=talk), 1)
    await arrive(store, first)
    assert await set_hold(store, hold("talk", conversation=True)) == 1

    await arrive(store, kept_until(incoming("b", log_index=4, conversation_id=talk, seq=2), 1))
    await post(store, kept_until(outgoing("c", conversation_id=talk), 1), kept_until(outgoing("d"), 1))

    assert await due(store) == [identifier("d")]
    assert await store.read(lambda tx: tx.removal.held()) == 3


async def test_a_message_may_be_held_before_it_comes(store: SqlStore) -> None:
    assert await set_hold(store, hold("a")) == 0
    await arrive(store, kept_until(incoming("a", log_index=3), 1))
    assert await due(store) == []


async def test_holding_the_message_that_opens_a_conversation_does_not_hold_the_conversation(
    store: SqlStore,
) -> None:
    talk = identifier("a")
    await arrive(store, kept_until(incoming("a", log_index=3, conversation_id=talk), 1))
    await arrive(store, kept_until(incoming("b", log_index=4, conversation_id=talk, seq=2), 1))

    await set_hold(store, hold("a"))

    assert await due(store) == [identifier("b")]


async def test_lifting_one_hold_leaves_what_another_one_keeps(store: SqlStore) -> None:
    talk = identifier("a")
    await arrive(store, kept_until(incoming("a", log_index=3, conversation_id=talk), 1))
    await arrive(store, kept_until(incoming("b", log_index=4, conversation_id=talk, seq=2), 1))
    await set_hold(store, hold("a"))
    await set_hold(store, hold("a", conversation=True))

    await lift(store, hold("a", conversation=True))
    assert await due(store) == [identifier("b")]

    await set_hold(store, hold("a", conversation=True))
    await lift(store, hold("a"))
    assert await due(store) == []


async def test_a_hold_outlives_the_process(store: SqlStore, url: str) -> None:
    await arrive(store, kept_until(incoming("a", log_index=3, to_agencies=(LYON, BOSTON)), 1))
    await set_hold(store, hold("a"))
    await store.close()

    again = SqlStore.open(url)

    assert await due(again) == []
    await again.close()


async def test_a_store_says_that_its_files_are_clean(store: SqlStore) -> None:
    assert await store.scrub() is True
