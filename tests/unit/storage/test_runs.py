"""Runs of entries: what is packed comes out as it went in, and nothing else does."""

from __future__ import annotations

import os
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.bundle import MAX_BUNDLE_BYTES
from gateway.errors import StoreError
from gateway.storage.runs import MAX_RUN_BYTES, MAX_RUN_ENTRIES, cut_runs, pack, unpack

ENTRIES = [b"", b"one", bytes(300), b"one"]


@given(st.lists(st.binary(max_size=400), min_size=1, max_size=40))
def test_entries_come_out_of_a_run_as_they_went_in(entries: list[bytes]) -> None:
    assert unpack(pack(entries), len(entries)) == entries


@given(st.lists(st.integers(0, MAX_RUN_BYTES), max_size=12), st.integers(0, 2**44))
def test_runs_hold_every_entry_once_in_order_and_none_is_too_long(sizes: list[int], start: int) -> None:
    entries = [bytes(size) for size in sizes]
    runs = list(cut_runs(start, entries))
    assert [entry for _, run in runs for entry in run] == entries
    at = start
    for first, run in runs:
        assert first == at
        at += len(run)
        assert len(run) == 1 or sum(map(len, run)) <= MAX_RUN_BYTES


@pytest.mark.parametrize("size", [0, 90, 4_091, 4_092, 4_093, 9_000])
def test_a_run_of_any_length_is_read_without_this_program(size: int) -> None:
    entry = os.urandom(size)
    assert zlib.decompress(pack([entry])) == struct.pack(">I", size) + entry


def test_a_run_has_no_more_entries_than_the_most() -> None:
    runs = list(cut_runs(7, [b"x"] * (2 * MAX_RUN_ENTRIES + 1)))
    assert [(first, len(run)) for first, run in runs] == [
        (7, MAX_RUN_ENTRIES),
        (7 + MAX_RUN_ENTRIES, MAX_RUN_ENTRIES),
        (7 + 2 * MAX_RUN_ENTRIES, 1),
    ]


def test_the_longest_run_and_the_longest_entry_come_out_again() -> None:
    longest = [bytes(MAX_RUN_BYTES // MAX_RUN_ENTRIES)] * MAX_RUN_ENTRIES
    ((_, run),) = cut_runs(0, longest)
    assert unpack(pack(run), len(run)) == longest
    assert unpack(pack([bytes(MAX_RUN_BYTES)]), 1) == [bytes(MAX_RUN_BYTES)]


@pytest.mark.parametrize("size", [MAX_RUN_BYTES + 1, 2 * MAX_RUN_BYTES, MAX_BUNDLE_BYTES - 64])
def test_an_entry_that_is_longer_than_a_run_stands_alone_and_comes_out_again(size: int) -> None:
    entries = [b"before", os.urandom(size), b"behind"]

    runs = list(cut_runs(5, entries))

    assert [(start, len(run)) for start, run in runs] == [(5, 1), (6, 1), (7, 1)]
    assert [entry for _, run in runs for entry in unpack(pack(run), len(run))] == entries


@pytest.mark.parametrize(
    ("packed", "count"),
    [
        pytest.param("text", 4, id="text"),
        pytest.param(b"", 4, id="nothing"),
        pytest.param(b"no zlib at all", 4, id="not packed"),
        pytest.param(pack(ENTRIES)[:-1], 4, id="cut short"),
        pytest.param(pack(ENTRIES) + b"\0", 4, id="lengthened"),
        pytest.param(pack(ENTRIES), 3, id="fewer"),
        pytest.param(pack(ENTRIES), 5, id="more"),
        pytest.param(pack(ENTRIES), 2**40, id="too many"),
        pytest.param(zlib.compress(struct.pack(">2I", 1, 2**32 - 1) + b"ab"), 2, id="longer than it is"),
        pytest.param(zlib.compress(struct.pack(">I", 2**26) + bytes(2**26)), 1, id="a bomb"),
    ],
)
def test_what_is_no_run_is_an_error_and_never_other_entries(packed: bytes, count: int) -> None:
    with pytest.raises(StoreError, match="run of entries"):
        unpack(packed, count)
