"""The row of a message says what its header and its document say, field by field."""

from __future__ import annotations

from dataclasses import fields, replace

from gateway.core.message.effect import Effect, NewEffect
from gateway.core.message.registry import Catalogue
from gateway.core.message.retention import AT_ONCE, Ending, Ground, Retention
from gateway.core.states import State
from gateway.node.message_rows import Derived, derive, new_message
from gateway.ports import NewMessage
from tests.unit.node.sealing import Message, message

NOW_MS = 1_793_607_300_007
ENDING = Ending(target=b"t" * 16, retention=Retention(erase_ms=AT_ONCE, ground=Ground.RETRACTION))
EFFECTS = (NewEffect(subject=b"s" * 16, effect=Effect.COUNTS),)


def derived_of(made: Message, catalogue: Catalogue) -> Derived:
    return derive(made.document, catalogue=catalogue, header=made.header, header_bytes=made.header.encode())


def test_the_row_of_a_posted_message_holds_each_value_in_its_own_field(catalogue: Catalogue) -> None:
    made = message(catalogue, NOW_MS)
    # Values that are alike would hide that two fields were exchanged.
    derived = replace(derived_of(made, catalogue), in_reply_to=b"r" * 16, reply_by_ms=NOW_MS + 5, awaits=True)
    header = derived.header

    row = new_message(
        derived,
        seq=7,
        effects=EFFECTS,
        endings=(ENDING,),
        arrived_ms=NOW_MS + 11,
        ciphertext=b"sealed",
        wrapped_key=b"wrapped",
        audit_index=13,
        flags="gap",
        post_digest=b"posted",
    )

    expected = NewMessage(
        outgoing=True,
        state=State.ACCEPTED,
        message_id=header.message_id,
        header=derived.header_bytes,
        type=header.type,
        from_agency=header.from_agency,
        to_agencies=header.to_agencies,
        conversation_id=header.conversation_id,
        seq=7,
        in_reply_to=b"r" * 16,
        purpose=derived.purpose,
        reply_by_ms=NOW_MS + 5,
        closes=False,
        rank=int(header.precedence),
        created_ms=header.created_ms,
        expires_ms=header.expires_ms,
        arrived_ms=NOW_MS + 11,
        log_index=None,
        audit_index=13,
        flags="gap",
        ciphertext=b"sealed",
        wrapped_key=b"wrapped",
        retention=derived.retention,
        endings=(ENDING,),
        awaits=True,
        effects=EFFECTS,
        post_digest=b"posted",
    )
    for field in fields(NewMessage):
        assert getattr(row, field.name) == getattr(expected, field.name), field.name


def test_a_message_whose_entry_is_in_the_mirror_is_an_incoming_one(catalogue: Catalogue) -> None:
    row = new_message(
        derived_of(message(catalogue, NOW_MS), catalogue),
        seq=1,
        effects=(NewEffect(subject=b"s" * 16, effect=Effect.ANSWERS),),
        endings=(),
        arrived_ms=NOW_MS,
        ciphertext=b"sealed",
        wrapped_key=b"wrapped",
        log_index=17,
    )

    assert (row.outgoing, row.state, row.log_index, row.audit_index) == (False, State.RECEIVED, 17, None)
    assert row.closes
