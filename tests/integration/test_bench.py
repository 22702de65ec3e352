"""The benchmark measures what it says: its arithmetic, its reading of the kernel, and one small run."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import Any

import orjson
import pytest

from gateway.catalogue import read_catalogue
from gateway.core.message.examine import examine
from gateway.core.states import State
from scripts._bench import measure, quantiles, records
from scripts._bench.apart import KEMS
from scripts._bench.backlog import out_of_order
from scripts._bench.blocks import limit_us, sums
from scripts._bench.lines import Line
from scripts._bench.loads import BULK, LAG_SHARE, LoadError, check_posted, count_for, is_void
from scripts._bench.messages import (
    MESSAGE_BYTES,
    NATIONS,
    agencies_of,
    make_templates,
    make_urgent_template,
    stamped,
)
from scripts._bench.mixes import REAL, templates_of
from scripts._bench.plans import Plan, Request, due_times, make_requests
from scripts._bench.profiling import shares
from scripts._bench.report import history_line, make_report, report_lines
from scripts._bench.targets import targets
from scripts._bench.timing import Block
from scripts._bench.timing import measure as measure_blocks

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 2, 8, 15, tzinfo=UTC)


# --- statistics ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "expected"), [(0.001, 1), (0.5, 50), (0.9, 90), (0.99, 99), (0.999, 100), (1.0, 100)]
)
def test_a_quantile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert quantiles.quantile(range(1, 101), share) == expected


def test_a_share_that_binary_fractions_overstate_takes_the_lower_rank() -> None:
    assert 0.07 * 100 > 7
    assert quantiles.quantile(range(1, 101), 0.07) == 7


def test_a_quantile_of_one_value_is_that_value() -> None:
    assert quantiles.quantile([3.5], 0.001) == quantiles.quantile([3.5], 0.999) == 3.5


def test_a_summary_does_not_depend_on_the_order_of_the_values() -> None:
    values = [float(number) for number in range(1, 1_001)]
    expected = {
        "count": 1_000,
        "mean": 500.5,
        "p50": 500.0,
        "p90": 900.0,
        "p99": 990.0,
        "p999": 999.0,
        "max": 1_000.0,
    }
    assert quantiles.summary(values) == quantiles.summary(values[::-1]) == expected


def test_a_summary_of_nothing_claims_nothing() -> None:
    assert quantiles.summary([]) == {"count": 0}


def test_medians_are_taken_at_every_depth() -> None:
    rounds: list[dict[str, Any]] = [
        {"bulk": {"rate": 3.0, "void": False, "load": "bulk"}},
        {"bulk": {"rate": 1.0, "void": True, "load": "bulk"}},
        {"bulk": {"rate": 2.0, "void": False, "load": "bulk"}},
    ]
    assert quantiles.median_of(rounds) == {"bulk": {"rate": 2.0, "void": False, "load": "bulk"}}


def test_a_load_that_some_rounds_left_out_has_the_median_of_the_others() -> None:
    assert quantiles.median_of([{"a": {"x": 1}}, {}, {"a": {"x": 3}}, {"a": {"x": None}}]) == {"a": {"x": 2}}


def test_the_spread_is_a_share_of_the_median() -> None:
    assert quantiles.spread([90, 100, 120]) == pytest.approx(0.3)
    assert quantiles.spread([]) == quantiles.spread([7]) == 0


# --- loads -----------------------------------------------------------------------------


def test_fixed_arrivals_keep_their_distance() -> None:
    assert due_times(4, 200, "fixed") == [0.0, 0.005, 0.01, 0.015]


def test_poisson_arrivals_come_at_the_asked_rate_and_are_the_same_in_every_run() -> None:
    moments = due_times(20_000, 1_000, "poisson")
    assert moments == sorted(moments) == due_times(20_000, 1_000, "poisson")
    assert moments[-1] == pytest.approx(20, rel=0.05)
    gaps = [after - before for before, after in pairwise(moments)]
    # Of an exponential distribution, one in e gaps is longer than the mean.
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


def test_an_open_run_is_void_when_the_generator_explains_its_tail() -> None:
    answer = {"count": 100, "p99": 10.0}
    assert not is_void(lag={"count": 100, "p99": 10.0 * LAG_SHARE}, answer=answer)
    assert is_void(lag={"count": 100, "p99": 10.0 * LAG_SHARE + 0.1}, answer=answer)
    assert not is_void(lag={"count": 0}, answer=answer)


def test_a_batch_holds_messages_of_one_agency_and_none_is_left_over() -> None:
    templates = make_templates("FR", now=NOW)
    plan = Plan(nations=["FR"], lines=10, count=103, connections=1)
    requests = make_requests(plan, templates)
    ids = [message_id for request in requests for message_id in request.ids]
    assert len(ids) == len(set(ids)) == 103
    for request in requests:
        lines = request.data.partition(b"\r\n\r\n")[2].split(b"\n")
        documents = [orjson.loads(line) for line in lines]
        assert {document["header"]["from"]["agency"] for document in documents} == {request.agency}
        assert [document["header"]["message_id"] for document in documents] == request.ids
        length = int(request.data.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        assert length == len(request.data.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(("per_s", "expected"), [(1.0, 1_000), (2_345.0, 18_700), (1e9, 200_000)])
def test_a_closed_load_lasts_as_long_as_asked_within_bounds(per_s: float, expected: int) -> None:
    assert count_for(per_s, 8.0) == expected


def test_invalid_messages_are_evenly_spread_and_wrong_in_one_way_each() -> None:
    templates = make_templates("FR", now=datetime.now(UTC))
    plan = Plan(nations=["FR"], lines=10, count=200, connections=1, invalid=0.02)
    spoiled = [body for request in make_requests(plan, templates) for body in _bodies(request)[1]]
    assert len(spoiled) == 4
    found = [examine(body, catalogue=read_catalogue(), now_ms=_now_ms()).violations for body in spoiled]
    assert all(found)
    assert {any(item.rule == "SCHEMA" for item in items) for items in found} == {True, False}


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.02, 20), (1.0, 1_000)])
def test_so_many_messages_are_spoiled_as_were_asked_for(share: float, expected: int) -> None:
    templates = make_templates("FR", now=NOW)
    plan = Plan(nations=["FR"], lines=100, count=1_000, connections=1, invalid=share)
    assert sum(len(request.spoiled) for request in make_requests(plan, templates)) == expected


@pytest.mark.parametrize(
    ("posted", "is_right"),
    [
        ({"accepted": 98, "turned_away": 2}, True),
        ({"accepted": 97, "turned_away": 2}, False),  # a valid one was refused
        ({"accepted": 98, "turned_away": 1}, False),  # an invalid one was accepted
    ],
)
def test_a_load_fails_when_a_verdict_is_wrong(posted: dict[str, Any], *, is_right: bool) -> None:
    posted = {"posted": 98, "spoiled": 2, "problems": []} | posted
    with nullcontext() if is_right else pytest.raises(LoadError):
        check_posted(BULK, posted)


# --- messages --------------------------------------------------------------------------


@pytest.mark.parametrize("nation", NATIONS)
def test_every_message_is_accepted_by_the_catalogue_and_has_the_one_length(nation: str) -> None:
    now = datetime.now(UTC)
    templates = [*make_templates(nation, now=now), make_urgent_template(nation, now=now)]
    for template, message_id, body in stamped(templates, 2 * len(templates)):
        examination = examine(body, catalogue=read_catalogue(), now_ms=int(now.timestamp() * 1_000))
        assert examination.violations == ()
        assert examination.document is not None
        assert examination.document["header"]["message_id"] == message_id
        assert examination.document["header"]["conversation"]["id"] == message_id
        assert examination.document["header"]["from"]["agency"] == template.agency
        assert template.agency in agencies_of(nation)
        assert len(body) == MESSAGE_BYTES


def test_messages_are_of_mixed_types_and_the_ordinary_ones_are_not_urgent() -> None:
    templates = make_templates("FR", now=NOW)
    assert len({template.type for template in templates}) >= 5
    precedences = {orjson.loads(template.body)["header"]["precedence"] for template in templates}
    assert precedences <= {"ROUTINE", "PRIORITY"}


def test_the_mix_has_messages_of_every_length_in_their_shares_evenly_spread() -> None:
    now = datetime.now(UTC)
    templates = templates_of("real", "US", now=now)
    lengths = [len(template.body) for template in templates]
    assert Counter(lengths) == REAL
    assert Counter(lengths[:10])[MESSAGE_BYTES] == 7
    for template in {template.body: template for template in templates}.values():
        examination = examine(template.body, catalogue=read_catalogue(), now_ms=_now_ms())
        assert examination.violations == ()


# --- the kernel's counters ---------------------------------------------------------------


def test_cpu_time_of_a_process_is_what_it_says_of_itself() -> None:
    before, own = measure.cpu_time(os.getpid()).total, process_time()
    began = perf_counter()
    while perf_counter() - began < 0.3:
        sum(range(1_000))
    assert measure.cpu_time(os.getpid()).total - before == pytest.approx(process_time() - own, abs=0.05)


def test_the_memory_peak_is_never_below_what_is_held_now() -> None:
    pid = os.getpid()
    assert measure.memory_bytes(pid, "VmHWM") >= measure.memory_bytes(pid, "VmRSS") > 1_000_000
    assert measure.memory_bytes(pid, "VmNothing") == 0


def test_bytes_on_a_connection_are_counted_both_ways() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        if measure.link_bytes([port]) is None:
            pytest.skip("the kernel does not describe sockets here")
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            peer, _ = server.accept()
            with closing(peer):
                count = measure.LinkCount([port])
                reader = threading.Thread(target=_read, args=(peer, 100_000))
                reader.start()
                client.sendall(bytes(100_000))
                reader.join()
                peer.sendall(bytes(500))
                _read(client, 500)
                assert count.total() == 100_500


def test_bytes_of_a_connection_that_has_gone_still_count() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        if measure.link_bytes([port]) is None:
            pytest.skip("the kernel does not describe sockets here")
        count = measure.LinkCount([port])
        with closing(socket.create_connection(("127.0.0.1", port))) as client:
            peer, _ = server.accept()
            with closing(peer):
                client.sendall(bytes(1_000))
                _read(peer, 1_000)
                count.look()
        # The kernel counts the opening of a connection as one more byte.
        assert count.total() in {1_000, 1_001}


def test_commits_of_a_database_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    assert measure.commits(path) is None
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        before = measure.commits(path)
        assert before is not None
        for _ in range(5):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
            connection.execute("COMMIT")
        connection.execute("SELECT * FROM t").fetchall()
        assert measure.commits(path) == before + 5


def test_the_file_system_of_a_path_is_named() -> None:
    assert measure.file_system(Path("/proc/self")) == "proc"


# --- what the nodes wrote ----------------------------------------------------------------


def journey(rank: int, log_index: int, **times: int) -> records.Journey:
    values = dict.fromkeys(("accepted_ms", "sent_ms", "decided_ms", "received_ms", "collected_ms"), 0)
    return records.Journey(
        message_id=f"{rank}-{log_index}",
        rank=rank,
        log_index=log_index,
        state=State.COLLECTED,
        **(values | times),
    )


def test_rates_run_from_the_first_request_to_the_last_message() -> None:
    found = [
        journey(3, 1, accepted_ms=1_100, received_ms=1_300, collected_ms=1_400),
        journey(3, 2, accepted_ms=1_200, received_ms=1_500, collected_ms=3_000),
    ]
    way = records.way_of(found, started_ms=1_000, due_ms={"3-1": 1_050.0})
    assert (way["accepted_per_s"], way["received_per_s"], way["collected_per_s"]) == (10, 4, 1)
    assert way["accepted_to_received_ms"]["max"] == 300
    assert way["due_to_received_ms"] == quantiles.summary([250])


def test_a_message_that_never_arrived_is_not_counted_as_received() -> None:
    way = records.way_of([journey(3, 1, accepted_ms=2_000)], started_ms=1_000, due_ms={})
    assert (way["accepted"], way["received"], way["received_per_s"]) == (1, 0, None)
    assert way["accepted_to_received_ms"] == {"count": 0}


def test_a_backlog_in_order_of_precedence_then_age_is_in_order() -> None:
    assert out_of_order([journey(3, 11), journey(2, 10), journey(3, 12), journey(0, 9)]) == 0


@pytest.mark.parametrize(
    "backlog",
    [
        [journey(3, 10), journey(2, 11)],  # a lower precedence went first
        [journey(3, 11), journey(3, 10)],  # a younger one went first
    ],
)
def test_a_message_before_its_turn_is_noticed(backlog: list[records.Journey]) -> None:
    assert out_of_order(backlog) == 2


# --- profiles ------------------------------------------------------------------------------


def test_time_in_a_library_belongs_to_our_function_that_called_it_and_waiting_to_none(tmp_path: Path) -> None:
    frames = [
        {"name": "run", "file": "/x/gateway/cli/serve.py"},
        {"name": "seal", "file": "/x/gateway/core/sealing.py"},
        {"name": "update", "file": "/y/site-packages/gateway/other.py"},
        {"name": "SSLObject.read", "file": ""},
        {"name": "select", "file": "/y/asyncio/selectors.py"},
    ]
    threads = [
        {"samples": [[0, 1, 2], [0, 1], [0, 4]], "weights": [0.2, 0.2, 7.0]},
        {"samples": [[0, 3]], "weights": [0.6]},
    ]
    path = tmp_path / "bulk-fr.speedscope.json"
    path.write_bytes(orjson.dumps({"shared": {"frames": frames}, "profiles": threads}))
    assert [(name, round(share, 6)) for name, share in shares(path)] == [
        ("libraries: SSLObject.read", 0.6),
        ("gateway.core.sealing: seal", 0.4),
    ]


# --- the report --------------------------------------------------------------------------


def test_a_block_is_timed_per_unit_of_its_work() -> None:
    def work(_: int) -> None:
        sum(range(20_000))

    blocks = [Block(name="one", call=work), Block(name="ten", call=work, each=10)]
    times = measure_blocks(blocks, slice_s=0.02, slices=3)
    assert times["one"]["cpu_us"] / times["ten"]["cpu_us"] == pytest.approx(10, rel=0.5)


def test_a_block_whose_first_call_takes_long_is_timed_by_its_later_ones() -> None:
    calls: list[int] = []

    def call(number: int) -> None:
        if not calls:
            sleep(0.05)
        calls.append(number)

    measure_blocks([Block(name="late", call=call)], slice_s=0.01, slices=1)
    # Numbers of a slice count from 0: the last one tells how many calls it had.
    assert calls[-1] > 10


def test_checks_are_held_against_the_libraries_that_they_stand_on() -> None:
    cpu_us = {"json_decode": 5.0, "schema": 10.0, "schema_and_rules": 45.0, "strict_json": 15.0}
    cpu_us |= dict.fromkeys(("apart_sign", "apart_verify"), 1.0)
    cpu_us |= {f"{kem}_{step}": 1.0 for kem in KEMS for step in ("seal", "open")}
    assert sums([], cpu_us)["over_libraries"] == {"schema_and_rules": 3.0, "strict_json": 3.0}


def test_the_limit_shares_what_a_bundle_costs_among_its_messages() -> None:
    assert limit_us({"per_message_us": 100.0, "per_bundle_us": 1_000.0}, 10) == 200.0


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (Line(name="rate", value=3_000, least=3_000), "ok"),
        (Line(name="rate", value=2_999.9, least=3_000), "MISSED"),
        (Line(name="time", value=30.1, most=30), "MISSED"),
        (Line(name="time", value=None, most=30), ""),
        (Line(name="size", value=5), ""),
        (Line(name="rate", value=2_999, least=2_000, stretch=3_000), "ok"),
        (Line(name="rate", value=3_000, least=2_000, stretch=3_000), "stretch"),
        (Line(name="rate", value=1_999, least=2_000, stretch=3_000), "MISSED"),
        (Line(name="time", value=10, most=30, stretch=10), "stretch"),
    ],
)
def test_a_number_is_held_against_what_is_asked_of_it(line: Line, verdict: str) -> None:
    assert line.verdict == verdict


def test_a_report_of_nothing_can_be_printed_and_kept() -> None:
    machine = {"cpu": "c", "cores": 2, "python": "3", "file_system": "ext4", "commit": "x"}
    report = make_report(rounds=[{}], loads={}, apart={}, machine=machine, elapsed_s=1.0, quick=True)
    assert list(report_lines(report))
    assert orjson.loads(history_line(report))["numbers"] == {}


def test_every_row_is_printed_whether_or_not_it_was_measured() -> None:
    machine = {"cpu": "c", "cores": 2, "python": "3", "file_system": "ext4", "commit": "x"}
    backlog = {
        "messages": 5_000,
        "drained_per_s": 900.0,
        "memory_peak_accepting_bytes": 200_000_000,
        "memory_peak_draining_bytes": 301_000_000,
        "flash_accepted_to_received_ms": {"p99": 80.0},
    }
    bulk = {"received_per_s": 1_000.0, "collected_per_s": 900.0}
    found = targets(
        {"medians": {"bulk": bulk}, "backlog": backlog, "growth": None, "distance": None, "disk": None}
    )
    by_name = {line.name: line for line in found}
    assert by_name["bulk, accepted to received and collected"].value == 900
    assert by_name["drain of a backlog of 5,000 / bulk rate"].verdict == "ok"
    assert by_name["memory of a node with a backlog of 5,000, peak"].verdict == "MISSED"
    assert by_name["FLASH behind a backlog of 5,000, p99 to the receipt"].verdict == "ok"
    report = make_report(rounds=[{}], loads={}, apart={}, machine=machine, elapsed_s=1.0, quick=True)
    lines = list(report_lines(report))
    assert sum("not measured" in line for line in lines) == len(found)


def test_a_load_that_is_refused_altogether_has_no_rate_to_remark_on() -> None:
    machine = {"cpu": "c", "cores": 2, "python": "3", "file_system": "ext4", "commit": "x"}
    refused = {
        "received_per_s": None,
        "void": False,
        "pushed_back": 0,
        "cpu_us_per_message": {"cores_of_others": 1.0},
    }
    rounds = [{"refused": refused, "plain": {**refused, "received_per_s": rate}} for rate in (100.0, 200.0)]
    report = make_report(rounds=rounds, loads={}, apart={}, machine=machine, elapsed_s=1.0, quick=False)
    lines = list(report_lines(report))
    assert any(line.startswith("plain: rounds differ by 67 %") for line in lines)
    assert any(line.startswith("refused: other processes") for line in lines)
    assert not any(line.startswith("refused: rounds differ") for line in lines)


def test_rounds_of_two_parts_are_put_side_by_side() -> None:
    assert quantiles.side_by_side([{"a": 1}, {"a": 2}], [{"b": 3}]) == [{"a": 1, "b": 3}, {"a": 2}]
    assert quantiles.side_by_side([], [{"b": 3}]) == [{"b": 3}]


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1_000)


def _bodies(request: Request) -> tuple[list[bytes], list[bytes]]:
    """Return the valid and the spoiled messages of a request."""
    lines = request.data.partition(b"\r\n\r\n")[2].split(b"\n")
    marked = [
        (line, message_id in request.spoiled) for line, message_id in zip(lines, request.ids, strict=True)
    ]
    return [line for line, bad in marked if not bad], [line for line, bad in marked if bad]


def _read(channel: socket.socket, count: int) -> None:
    while count > 0:
        count -= len(channel.recv(count))


# --- the real thing ----------------------------------------------------------------------


def test_two_nodes_are_measured_and_everything_arrives_once(tmp_path: Path) -> None:
    result, history = tmp_path / "result.json", tmp_path / "history.jsonl"
    parts = [argument for part in ("bulk", "single", "latency") for argument in ("--part", part)]
    size = ("--quick", "--count", "200", "--seconds", "0.5")
    files = ("--home", tmp_path / "homes", "--json", result, "--history", history)
    done = subprocess.run(
        (sys.executable, "-m", "scripts._bench", *parts, *size, *files),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    report = orjson.loads(result.read_bytes())
    assert report["verified"]["accepted"] == report["verified"]["collected"] > 500
    assert report["verified"]["lost"] == report["verified"]["twice"] == 0
    for name in ("bulk", "single"):
        load = report["medians"][name]
        assert load["messages"] == load["received"] == load["collected"] == 200
        assert load["accepted_to_received_ms"]["p50"] <= load["accepted_to_received_ms"]["p999"]
        assert load["cpu_us_per_message"]["both_nodes"] > 50
        assert load["memory_peak_bytes"]["FR"] > 10_000_000
        # The ciphertext of a message alone is longer than the message.
        assert load["link_bytes_per_message"] is None or load["link_bytes_per_message"] > MESSAGE_BYTES
    assert report["disk"]["ciphertexts"] > 2 * MESSAGE_BYTES
    assert len(history.read_bytes().splitlines()) == 1
    assert "Ratios" in done.stdout
    # Homes hold keys and databases: nothing of them stays.
    assert list((tmp_path / "homes").iterdir()) == []
