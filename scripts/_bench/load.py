"""The load generator, a process of its own: posts messages as agencies do.

Two kinds of load. **Closed**: each connection posts again as soon as it has its answer, so
the system sets the pace; this finds the peak. **Open**: each request has a due time and is
posted then, or as soon after it as a connection is free; latency counts from the due
time, so what waits behind a stalled system is counted as its users would (no coordinated
omission). The generator measures itself too: its *lag* is how late it took up what was
due, whatever the cause, and an open run is void when lag explains its result. Whoever asks
something else before an open load has ended ends it: what is not due yet is left out.

Run as ``python -m scripts._bench.load SETUP``; see `scripts._bench.helper`.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time
from typing import Any

import orjson

from scripts._bench.helper import answer, is_asked, questions
from scripts._bench.messages import Template
from scripts._bench.mixes import templates_of
from scripts._bench.plans import Plan, Request, due_times, make_requests
from scripts._bench.quantiles import summary
from scripts._bench.wire import Answer, Connection, Endpoint, Wire, WireError

ACCEPTED_LINE = b'{"status":202,'
LONGEST_TURN_S = 0.5
FIRST_RETRY_S = 0.05
KEPT_PROBLEMS = 5


class Run:
    """One prepared load."""

    def __init__(self, plan: Plan, endpoints: dict[str, Endpoint], templates: Sequence[Template]) -> None:
        """Make all messages and open all connections.

        Args:
            plan: The load.
            endpoints: Where each agency posts.
            templates: What is sent, in turn.
        """
        self.plan = plan
        self.requests = list(make_requests(plan, templates))
        self.wire = Wire()
        agencies = sorted({request.agency for request in self.requests})
        self._free: dict[str, list[Connection]] = {agency: [] for agency in agencies}
        for number in range(max(plan.connections, len(agencies))):
            agency = agencies[number % len(agencies)]
            self._free[agency].append(self.wire.connect(endpoints[agency]))
        self._ready: dict[str, deque[Request]] = {agency: deque() for agency in agencies}
        self.accepted: list[str] = []
        self.latencies_s: list[float] = []
        self.lags_s: list[float] = []
        self.due: list[tuple[str, float]] = []
        self.refused = 0
        self.turned_away = 0
        self.pushed_back = 0
        self.problems: list[str] = []
        self._left = len(self.requests)

    def go(self, is_over: Callable[[], bool]) -> dict[str, Any]:
        """Put the load on the nodes; return what was measured.

        Args:
            is_over: Asked all along; once it says so, an open load posts nothing more.
        """
        started, started_wall = monotonic(), time()
        if self.plan.rate is None:
            self._closed()
        else:
            self._open(started, self.plan.rate / self.plan.lines, is_over)
        ended = monotonic()
        self.wire.close()
        return {
            "started_ms": started_wall * 1_000,
            "elapsed_s": ended - started,
            "posted": sum(len(request.ids) - len(request.spoiled) for request in self.requests),
            "accepted": len(self.accepted),
            "refused": self.refused,
            "spoiled": sum(len(request.spoiled) for request in self.requests),
            "turned_away": self.turned_away,
            "pushed_back": self.pushed_back,
            "problems": self.problems,
            "answer_ms": summary([1_000 * value for value in self.latencies_s]),
            "lag_ms": summary([1_000 * value for value in self.lags_s]),
            # Due times by the clock that the nodes write down, for latencies that end at the peer.
            "due_ms": [[i, 1_000 * (due - started + started_wall)] for i, due in self.due],
        }

    def _closed(self) -> None:
        for request in self.requests:
            self._ready[request.agency].append(request)
        for agency in self._ready:
            self._dispatch(agency)
        while self._left:
            self.wire.turn(LONGEST_TURN_S)

    def _open(self, started: float, requests_per_s: float, is_over: Callable[[], bool]) -> None:
        offsets = due_times(len(self.requests), requests_per_s, self.plan.arrivals)
        for request, offset in zip(self.requests, offsets, strict=True):
            request.due_s = started + offset
        position = 0
        while self._left:
            now = monotonic()
            while position < len(self.requests) and self.requests[position].due_s <= now:
                request = self.requests[position]
                position += 1
                self.lags_s.append(now - request.due_s)
                self.due += [(message_id, request.due_s) for message_id in request.ids]
                self._ready[request.agency].append(request)
                self._dispatch(request.agency)
            if position < len(self.requests) and is_over():
                self._left -= len(self.requests) - position
                del self.requests[position:]
            wait_s = LONGEST_TURN_S
            if position < len(self.requests):
                wait_s = max(0.0, self.requests[position].due_s - monotonic())
            self.wire.turn(wait_s)

    def _dispatch(self, agency: str) -> None:
        free, ready = self._free[agency], self._ready[agency]
        while free and ready:
            self._post(free.pop(), ready.popleft())

    def _post(self, connection: Connection, request: Request) -> None:
        if not request.due_s:
            request.due_s = monotonic()
        connection.ask(request.data, self._taker(connection, request))

    def _taker(self, connection: Connection, request: Request) -> Callable[[Answer], None]:
        def take(reply: Answer) -> None:
            if reply.status in {429, 503}:
                # The node asks to come back later; the wait counts, the request stays due when it was.
                self.pushed_back += 1
                wait_s = float(reply.retry_after_s) or FIRST_RETRY_S
                self.wire.later(wait_s, lambda: self._post(connection, request))
                return
            self._left -= 1
            self.latencies_s.append(monotonic() - request.due_s)
            self._count(request, reply)
            ready = self._ready[request.agency]
            if ready:
                self._post(connection, ready.popleft())
            else:
                self._free[request.agency].append(connection)

        return take

    def _count(self, request: Request, reply: Answer) -> None:
        if self.plan.lines == 1:
            verdicts = [reply.status == 202]
        else:
            verdicts = [line.startswith(ACCEPTED_LINE) for line in reply.body.splitlines()]
            verdicts += [False] * (len(request.ids) - len(verdicts))
        if all(verdicts) and not request.spoiled:
            self.accepted += request.ids
            return
        bad = request.spoiled
        judged = list(zip(request.ids, verdicts, strict=True))
        self.accepted += [i for i, good in judged if good and i not in bad]
        self.turned_away += sum(i in bad for i, good in judged if not good)
        wrong = [place for place, (i, good) in enumerate(judged) if good is (i in bad)]
        self.refused += len(wrong)
        if wrong and len(self.problems) < KEPT_PROBLEMS:
            lines = reply.body.splitlines() if self.plan.lines > 1 else [reply.body]
            line = lines[wrong[0]] if wrong[0] < len(lines) else b""
            self.problems.append(f"{reply.status} {line[:300].decode('utf-8', 'replace')}")


def hurry() -> bool:
    """Let this process run as soon as it has something to do; return whether the kernel allows it.

    It stands for the machines of agencies, which do not share their cores with a node: left
    to wait for the nodes' threads, it would post late and read late, and measure itself. It
    needs so little that the nodes hardly notice.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except PermissionError:
        return False
    return True


def main(setup: dict[str, Any]) -> None:
    """Answer questions: ``prepare`` a load, then ``go``; ``stop`` ends an open one and has no answer."""
    endpoints = {
        agency: Endpoint(Path(item["folder"]), item["port"]) for agency, item in setup["agencies"].items()
    }
    hurry()
    now = datetime.now(UTC)
    # Large messages take seconds to find: they are made when they are first asked for.
    made: dict[tuple[str, str], Sequence[Template]] = {
        (mix, nation): templates_of(mix, nation, now=now)
        for mix in ("flat", "urgent")
        for nation in setup["nations"]
    }
    accepted = Path(setup["accepted"])
    run: Run | None = None
    for question in questions():
        try:
            if question.pop("do") == "prepare":
                plan = Plan(**question)
                mix = "urgent" if plan.urgent else plan.mix
                for nation in plan.nations:
                    if (mix, nation) not in made:
                        made[mix, nation] = templates_of(mix, nation, now=now)
                # Nations in turn: FR, US, FR, … where both send.
                rows = zip(*(made[mix, nation] for nation in plan.nations), strict=True)
                run = Run(plan, endpoints, [template for row in rows for template in row])
                answer({"requests": len(run.requests)})
            elif run is not None:
                result = run.go(is_asked)
                with accepted.open("a", encoding="ascii") as file:
                    file.writelines(f"{message_id}\n" for message_id in run.accepted)
                run = None
                answer(result)
        except (WireError, OSError) as error:
            answer({"error": str(error)})


if __name__ == "__main__":
    main(orjson.loads(Path(sys.argv[1]).read_bytes()))
