"""Messages through steps: in order, slice by slice, each failure its own message's."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.errors import RejectedError
from gateway.node.defects import UnexaminedError
from gateway.node.steps import SLICE, given, run_steps


class Item:
    def __init__(self, name: bytes, *, fails: Exception | None = None) -> None:
        self.named = name
        self.fails = fails
        self.failure: Exception | None = None
        self.taken: list[str] = []


class Trace:
    def __init__(self) -> None:
        self.calls: list[tuple[str, bytes]] = []

    def first(self, item: Item) -> None:
        self.calls.append(("first", item.named))

    def second(self, item: Item) -> None:
        self.calls.append(("second", item.named))
        if item.fails is not None:
            raise item.fails

    def third(self, item: Item) -> None:
        self.calls.append(("third", item.named))


def test_each_step_takes_a_slice_before_the_next_step_begins() -> None:
    trace = Trace()

    run_steps([Item(b"a"), Item(b"b"), Item(b"c")], (trace.first, trace.third), size=2)

    assert trace.calls == [
        ("first", b"a"),
        ("first", b"b"),
        ("third", b"a"),
        ("third", b"b"),
        ("first", b"c"),
        ("third", b"c"),
    ]


def test_every_message_of_many_slices_takes_every_step() -> None:
    trace = Trace()
    items = [Item(number.to_bytes(2)) for number in range(2 * SLICE + 1)]

    run_steps(items, (trace.first, trace.third))

    assert sorted(name for step, name in trace.calls if step == "third") == [item.named for item in items]


def test_a_message_that_fails_keeps_its_error_and_goes_no_further_and_the_others_do() -> None:
    trace = Trace()
    error = RejectedError("refused on purpose")
    good, bad = Item(b"good"), Item(b"bad", fails=error)

    run_steps([bad, good], (trace.first, trace.second, trace.third))

    assert (bad.failure, good.failure) == (error, None)
    assert ("third", b"bad") not in trace.calls
    assert ("third", b"good") in trace.calls


def test_errors_of_the_caller_pass_as_they_are() -> None:
    error = KeyError("the caller's own")
    item = Item(b"a", fails=error)

    run_steps([item], (Trace().second,), KeyError)

    assert item.failure is error


def test_a_defect_of_a_step_concerns_its_message_and_its_text_stays_out_of_the_log() -> None:
    good, bad = Item(b"good"), Item(b"\xba\xd0", fails=ValueError("VALUE OF THE MESSAGE"))

    with capture_logs() as logs:
        run_steps([bad, good], (Trace().second,))

    assert isinstance(bad.failure, UnexaminedError)
    assert good.failure is None
    (line,) = logs
    assert (line["event"], line["message_id"], line["kind"]) == ("message.unexamined", "bad0", "ValueError")
    assert line["frames"][-1].startswith("test_steps.py:")
    assert "VALUE" not in repr(logs)
    assert "VALUE" not in str(bad.failure)


def test_what_no_step_has_found_is_not_used() -> None:
    assert given(b"") == b""
    with pytest.raises(AssertionError):
        given(None)
