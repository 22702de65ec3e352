"""The backlog: the peer is away, messages are accepted all the same, then it returns.

What has to hold: the sender's memory does not grow with what waits; what waits is sent in
order of precedence, then of acceptance; and an urgent message does not wait behind it.
The last hundred thousand messages are posted to the node, those before them are written into its
database while it is stopped, as it would have done (`scripts._bench.waiting`).
FLASH alerts are sent twice: some after the backlog and before the peer returns, which have
to be the first that it gets, and then ten a second while the backlog drains, whose time
to the receipt is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

from scripts._bench.helper import Helper
from scripts._bench.loads import BULK, Load, Stage, check_posted
from scripts._bench.measure import memory_bytes, reset_memory_peak
from scripts._bench.nodes import Nodes
from scripts._bench.options import Options, fresh_nodes
from scripts._bench.quantiles import summary
from scripts._bench.records import Journey, Progress, journeys
from scripts._bench.verification import verify
from scripts._bench.waiting import fill_outbox

WARM_UP: Final = 500
CHUNK: Final = 10_000
EARLY_ALERTS: Final = 5
ALERTS_PER_S: Final = 10
LONGEST_ALERTS_S: Final = 60
LOOK_S: Final = 0.25
"""How often it is looked whether the backlog has drained."""
ALERTS: Final = Load(name="flash", lines=1, connections=8, rate=ALERTS_PER_S, urgent=True)


def run_backlog(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a backlog with nodes of its own.

    Raises:
        LoadError: Something was refused, lost, repeated or sent out of order.
    """
    with fresh_nodes(options) as nodes:
        setup = nodes.write_setup(nodes.folder / "setup.json")
        with nodes.running(), Helper("load", str(setup)) as generator:
            stage = Stage(nodes, generator, None)
            stage.run(replace(BULK, name="warm-up"), WARM_UP)
            nodes["US"].stop()
            with closing(Progress(nodes["FR"].database)) as progress:
                before = progress.newest()
            accepted = min(options.accepted, options.backlog)
            empty_bytes = memory_bytes(nodes["FR"].pid, "VmRSS")
            # Nothing of this process may have the database open while it is filled.
            _fill(nodes, options.backlog - accepted, say)
            with closing(Progress(nodes["FR"].database)) as progress:
                say(f"backlog: the peer is away, {accepted} messages are accepted")
                result = _accept(stage, options.backlog - accepted, accepted)
                say("backlog: the peer returns")
                result |= _drain(stage, setup_path=str(setup), before=before, progress=progress)
            result["memory_empty_bytes"] = empty_bytes
            return result


def _fill(nodes: Nodes, count: int, say: Callable[[str], None]) -> None:
    """Stop the sender, let so many messages wait in its database, and start it again."""
    if not count:
        return
    say(f"backlog: {count} messages are made")
    sender = nodes["FR"]
    sender.stop()
    fill_outbox(sender.home, count, accepted=nodes.folder / "accepted.txt")
    sender.start()
    sender.await_port()


def _accept(stage: Stage, waiting: int, count: int) -> dict[str, Any]:
    """Let the node accept the rest of the backlog; return what it cost."""
    node = stage.nodes["FR"]
    reset_memory_peak(node.pid)
    memory = {waiting: memory_bytes(node.pid, "VmRSS")}
    elapsed_s = 0.0
    for begun in range(0, count, CHUNK):
        posted = _post(stage, BULK, min(CHUNK, count - begun))
        elapsed_s += posted["elapsed_s"]
        memory[waiting + begun + posted["accepted"]] = memory_bytes(node.pid, "VmRSS")
    _post(stage, replace(ALERTS, rate=None), EARLY_ALERTS)
    return {
        "messages": waiting + count,
        "accepted": count,
        "accepted_per_s": count / elapsed_s,
        "memory_bytes": {str(messages): size for messages, size in memory.items()},
        "memory_before_bytes": memory[waiting],
        "memory_after_bytes": memory[waiting + count],
        "memory_peak_accepting_bytes": memory_bytes(node.pid, "VmHWM"),
    }


def _drain(stage: Stage, *, setup_path: str, before: int, progress: Progress) -> dict[str, Any]:
    """Let the peer return; return how fast it got everything, and in which order."""
    complete_ms = time.time() * 1_000
    sender, receiver = stage.nodes["FR"], stage.nodes["US"]
    reset_memory_peak(sender.pid)
    with Helper("consumer", setup_path) as consumer:
        receiver.start()
        receiver.await_port()
        returned_ms = time.time() * 1_000
        consumer.ask(do="begin", nations=["US"])
        stage = Stage(stage.nodes, stage.generator, consumer)
        due_ms = _alerts_while_draining(stage, progress)
        stage.await_end([progress])
        verified = verify(stage)
    found = journeys(sender.database, receiver.database, after=before)
    backlog = [item for item in found if item.accepted_ms <= complete_ms < item.sent_ms]
    began_ms, ended_ms = min(item.sent_ms for item in backlog), max(item.sent_ms for item in backlog)
    # Alerts that found the queue empty again say nothing.
    behind = [item for item in found if complete_ms < item.accepted_ms < ended_ms]
    return {
        # What was in bundles already when the peer went keeps its place in the log.
        "in_flight_when_the_peer_went": sum(item.sent_ms <= complete_ms for item in found),
        "returned_to_first_sent_s": (began_ms - returned_ms) / 1_000,
        "drained_per_s": _per_s(len(backlog), max(item.received_ms for item in backlog) - began_ms),
        "collected_per_s": _per_s(len(found), max(item.collected_ms for item in found) - began_ms),
        "flash_accepted_to_received_ms": summary([item.received_ms - item.accepted_ms for item in behind]),
        "flash_due_to_received_ms": summary([item.received_ms - due_ms[item.message_id] for item in behind]),
        "memory_peak_draining_bytes": memory_bytes(sender.pid, "VmHWM"),
        "memory_peak_receiver_bytes": memory_bytes(receiver.pid, "VmHWM"),
        "sent_out_of_order": out_of_order(backlog),
        "verified": verified,
    }


def _per_s(count: int, elapsed_ms: float) -> float:
    return 1_000 * count / max(elapsed_ms, 1.0)


def _alerts_while_draining(stage: Stage, progress: Progress) -> dict[str, float]:
    """Send alerts as long as the backlog drains; return when each was due, by message id.

    All in one load: an agency holds its connections, and does not greet the node anew every other second.
    """
    stage.generator.ask(do="prepare", **ALERTS.plan(LONGEST_ALERTS_S * ALERTS_PER_S))
    stage.generator.tell(do="go")
    deadline = time.monotonic() + LONGEST_ALERTS_S
    while progress.unfinished(collecting=False) > ALERTS_PER_S and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    stage.generator.tell(do="stop")
    posted = stage.generator.answer()
    check_posted(ALERTS, posted)
    return dict(posted["due_ms"])


def out_of_order(backlog: Sequence[Journey]) -> int:
    """Return how many messages were not sent when it was their turn.

    Args:
        backlog: Messages that were all accepted before the first of them was sent, in
            order of acceptance.
    """
    by_log = sorted(backlog, key=lambda item: item.log_index)
    due = sorted(backlog, key=lambda item: item.rank)  # stable: then by acceptance
    return sum(sent is not wanted for sent, wanted in zip(by_log, due, strict=True))


def _post(stage: Stage, load: Load, count: int) -> dict[str, Any]:
    stage.generator.ask(do="prepare", **load.plan(count))
    posted = stage.generator.ask(do="go")
    check_posted(load, posted)
    return posted
