"""What the benchmark writes into homes, to save the time of posting it, is what nodes would have written."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic

import orjson
import pytest

from gateway.core.entries import EventEntry, Role, decode_entry
from gateway.core.states import State
from gateway.storage.runs import unpack
from scripts._bench.distance import open_namespaces
from scripts._bench.helper import ROOT, Helper, inside
from scripts._bench.lab import ADDRESSES, why_not
from scripts._bench.loads import BULK, Stage
from scripts._bench.longlog import BUNDLE_ENTRIES, grow_logs
from scripts._bench.nodes import NodeProcess, Nodes
from scripts._bench.records import reading
from scripts._bench.verification import verify
from scripts._bench.waiting import fill_outbox

POSTED = 96
LOG_ENTRIES = 3 * BUNDLE_ENTRIES


def audit(node: NodeProcess) -> str:
    """Return what `entente audit verify` says of all logs of a home, which has to be good."""
    words = ("audit", "verify", "--home", str(node.home))
    done = subprocess.run(
        (sys.executable, "-m", "gateway", *words), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("VERIFIED")
    return done.stdout


@contextmanager
def stage(nodes: Nodes, *, collect: bool = True) -> Iterator[Stage]:
    setup = str(nodes.write_setup(nodes.folder / "setup.json"))
    with Helper("load", setup) as generator:
        if not collect:
            yield Stage(nodes, generator, None)
            return
        with Helper("consumer", setup) as consumer:
            consumer.ask(do="begin", nations=["US"])
            yield Stage(nodes, generator, consumer)


WAITING = """
    SELECT type, from_agency, to_agencies, outgoing, seq, purpose, closes, rank, flags, sendings, ground,
        held, in_reply_to IS NULL, reply_by_ms IS NULL, erase_ms IS NULL, sent_ms IS NULL, log_index IS NULL,
        message_id = conversation_id, length(header), length(ciphertext), length(wrapped_key),
        (SELECT count(*) FROM collections c WHERE c.number = m.number),
        (SELECT count(*) FROM open_requests r WHERE r.number = m.number),
        (SELECT count(*) FROM effects e WHERE e.number = m.number),
        length(post_digest), (SELECT count(*) FROM idempotency i WHERE i.message_id = m.message_id)
    FROM messages m JOIN contents USING (number)
    WHERE state = ? AND number > ? AND number <= ?
"""


def newest(node: NodeProcess) -> int:
    with reading(node.database) as connection:
        return int(connection.execute("SELECT max(number) FROM messages").fetchone()[0])


def rows(node: NodeProcess, after: int, up_to: int) -> list[tuple[object, ...]]:
    with reading(node.database) as connection:
        return connection.execute(WAITING, (int(State.ACCEPTED), after, up_to)).fetchall()


def acceptance(connection: sqlite3.Connection, number: int) -> EventEntry:
    """Return the audit event that a message's row points at."""
    packed, count, at, message_id = connection.execute(
        "SELECT packed, entries, audit_index - start, message_id FROM messages, runs JOIN logs ON id = log_id"
        " WHERE kind = 'audit' AND start <= audit_index AND audit_index < start + entries AND number = ?",
        (number,),
    ).fetchone()
    entry = decode_entry(unpack(packed, count)[at])
    assert isinstance(entry, EventEntry)
    assert message_id in entry.objects
    return entry


@pytest.mark.timeout(300)
def test_long_logs_and_backlogs_that_were_made_pass_for_real_ones_and_the_nodes_go_on(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    sender, receiver = nodes["FR"], nodes["US"]
    with nodes.running(), stage(nodes, collect=False) as first:
        first.run(replace(BULK, name="before"), 200)

    # A log of the size that was asked for, in both homes, with nothing for an auditor to find.
    size = grow_logs(sender.home, receiver.home, LOG_ENTRIES)
    assert size > LOG_ENTRIES
    for node in (sender, receiver):
        assert f"{size} entries" in audit(node)

    # While its peer is away a node that has just started keeps what it accepts.
    try:
        posted_after = newest(sender)
        sender.start()
        sender.await_port()
        with stage(nodes, collect=False) as alone:
            alone.generator.ask(do="prepare", **BULK.plan(POSTED))
            assert alone.generator.ask(do="go")["accepted"] == POSTED
    finally:
        sender.stop()

    # The same rows, from the columns that searches use to the key that a repeat is known by.
    made_after = newest(sender)
    fill_outbox(sender.home, POSTED, accepted=tmp_path / "accepted.txt")
    posted, made = rows(sender, posted_after, made_after), rows(sender, made_after, newest(sender))
    assert len(posted) == len(made) == POSTED
    assert set(posted) == set(made)
    with reading(sender.database) as connection:
        events = [acceptance(connection, number) for number in (posted_after + 1, made_after + 1)]
        waiting = connection.execute("SELECT messages FROM counts WHERE state = 1").fetchone()
        counted = connection.execute("SELECT count(*) FROM messages WHERE outgoing AND state = 1").fetchone()
    assert waiting == counted
    assert {event.event for event in events} == {"message.accepted"}
    assert {event.role for event in events} == {Role.AGENCY}
    assert {event.actor for event in events}.isdisjoint({b""})

    # The nodes start with it, exchange all of it and more, and the logs still verify.
    with nodes.running(), stage(nodes) as again:
        again.run(replace(BULK, name="after"), 100)
        assert verify(again)["collected"] == 200 + 2 * POSTED + 100
    for node in (sender, receiver):
        audit(node)


@pytest.mark.skipif(why_not() != "", reason="there can be no wire here")
def test_a_wire_carries_bytes_both_ways_and_holds_them_back_as_long_as_it_is_told() -> None:
    delay_s = 0.05
    with Helper("lab") as lab, open_namespaces(lab) as namespaces:
        with inside(namespaces["US"]):
            server = socket.create_server((ADDRESSES["US"], 0))
        with closing(server):
            server.settimeout(60)
            lab.ask(delay_s=delay_s)
            echo = threading.Thread(target=_echo, args=(server,))
            echo.start()
            began = monotonic()
            with inside(namespaces["FR"]):
                client = socket.create_connection(server.getsockname(), timeout=60)
            with closing(client):
                assert monotonic() - began >= 2 * delay_s
                client.sendall(bytes(300_000))
                client.shutdown(socket.SHUT_WR)
                received = 0
                while data := client.recv(65_536):
                    received += len(data)
            echo.join()
    assert received == 300_000


def _echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with closing(connection):
        while data := connection.recv(65_536):
            connection.sendall(data)


@pytest.mark.slow
def test_the_parts_with_nodes_of_their_own_measure_every_row(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    parts = [word for part in ("mixes", "backlog", "growth", "distance") for word in ("--part", part)]
    size = ("--quick", "--count", "200", "--seconds", "0.5", "--backlog", "2300", "--log", "2000")
    done = subprocess.run(
        (
            sys.executable,
            "-m",
            "scripts._bench",
            *parts,
            *size,
            "--home",
            tmp_path / "homes",
            "--json",
            result,
        ),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    report = orjson.loads(result.read_bytes())
    assert report["medians"]["real"]["turned_away"] == 4
    assert report["medians"]["refused"]["turned_away"] == 200
    assert report["medians"]["refused"]["received"] == 0
    backlog = report["backlog"]
    assert (backlog["messages"], backlog["accepted"], backlog["sent_out_of_order"]) == (2_300, 2_000, 0)
    assert report["growth"]["entries"] > 2_000
    for name in ("short", "long"):
        assert report["growth"]["append_us"][name] > 50
        assert report["growth"]["start_s"][name] > 0.1
    assert "skipped" in report["distance"] or report["distance"]["received_per_s"]["far"] > 0
    assert list((tmp_path / "homes").iterdir()) == []
