"""The load generator, a process of its own: posts messages as agencies do.

Two kinds of load. **Closed**: each connection posts again as soon as it has its answer, so
the system sets the pace; this finds the peak. **Open**: each request has a due time and is
posted then, or as soon after it as a connection is free; latency counts from the due
time, so what waits behind a stalled system is counted as its users would (no coordinated
omission). The generator measures itself too: its *lag* is how late it took up what was
due, whatever the cause, and an open run is void when lag explains its result.

Run as ``python -m scripts._bench.load SETUP``; see `scripts._bench.helper`.
"""

from __future__ import annotations

import os
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time
from typing import Any

import orjson

from scripts._bench.helper import answer, questions
from scripts._bench.messages import Template, make_templates, make_urgent_template, stamped
from scripts._bench.quantiles import summary
from scripts._bench.wire import Answer, Connection, Endpoint, Wire, WireError, post_request

JSON = "application/json"
NDJSON = "application/x-ndjson"
ACCEPTED_LINE = b'{"status":202,'
LONGEST_TURN_S = 0.5
FIRST_RETRY_S = 0.05
KEPT_PROBLEMS = 5


@dataclass(slots=True)
class Request:
    """A request that is ready to be sent.

    Attributes:
        agency: Who posts it.
        data: Its bytes, head and body.
        ids: Ids of its messages.
        due_s: When it is due on the monotonic clock; of a closed load, when it was first sent.
    """

    agency: str
    data: bytes
    ids: list[str]
    due_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A load to put on the nodes.

    Attributes:
        nations: Sending nations.
        lines: Messages a request: 1 posts each by itself, more are a batch.
        count: Messages in all.
        connections: Connections in all.
        rate: Messages a second of an open load; None is a closed one.
        arrivals: ``fixed`` or ``poisson``, of an open load.
        urgent: Send FLASH alerts instead of the ordinary mix.
    """

    nations: Sequence[str]
    lines: int
    count: int
    connections: int
    rate: float | None = None
    arrivals: str = "fixed"
    urgent: bool = False


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
        self.pushed_back = 0
        self.problems: list[str] = []
        self._left = len(self.requests)

    def go(self) -> dict[str, Any]:
        """Put the load on the nodes; return what was measured."""
        started, started_wall = monotonic(), time()
        if self.plan.rate is None:
            self._closed()
        else:
            self._open(started, self.plan.rate / self.plan.lines)
        ended = monotonic()
        self.wire.close()
        return {
            "started_ms": started_wall * 1_000,
            "elapsed_s": ended - started,
            "posted": sum(len(request.ids) for request in self.requests),
            "accepted": len(self.accepted),
            "refused": self.refused,
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

    def _open(self, started: float, requests_per_s: float) -> None:
        offsets = due_times(len(self.requests), requests_per_s, self.plan.arrivals)
        for request, offset in zip(self.requests, offsets, strict=True):
            request.due_s = started + offset
            self.due += [(message_id, request.due_s) for message_id in request.ids]
        position = 0
        while self._left:
            now = monotonic()
            while position < len(self.requests) and self.requests[position].due_s <= now:
                request = self.requests[position]
                position += 1
                self.lags_s.append(now - request.due_s)
                self._ready[request.agency].append(request)
                self._dispatch(request.agency)
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
        if all(verdicts):
            self.accepted += request.ids
            return
        self.accepted += [i for i, good in zip(request.ids, verdicts, strict=True) if good]
        self.refused += verdicts.count(False)
        if len(self.problems) < KEPT_PROBLEMS:
            lines = reply.body.splitlines()
            bad = next((line for line in lines if not line.startswith(ACCEPTED_LINE)), b"")
            self.problems.append(f"{reply.status} {bad[:300].decode('utf-8', 'replace')}")


def make_requests(plan: Plan, templates: Sequence[Template]) -> list[Request]:
    """Return the requests of a load, those of different agencies in turn."""
    waiting: dict[str, list[tuple[str, bytes]]] = {}
    requests: list[Request] = []

    def flush(agency: str) -> None:
        group = waiting.pop(agency)
        ids = [message_id for message_id, _ in group]
        if plan.lines == 1:
            data = post_request("/v1/messages", group[0][1], JSON)
        else:
            data = post_request("/v1/messages:batch", b"\n".join(body for _, body in group), NDJSON)
        requests.append(Request(agency=agency, data=data, ids=ids))

    for template, message_id, body in stamped(templates, plan.count):
        group = waiting.setdefault(template.agency, [])
        group.append((message_id, body))
        if len(group) == plan.lines:
            flush(template.agency)
    for agency in list(waiting):
        flush(agency)
    return requests


def due_times(count: int, per_s: float, arrivals: str) -> list[float]:
    """Return when each of ``count`` requests is due, in seconds from the start.

    Args:
        count: Number of requests.
        per_s: Mean rate.
        arrivals: ``fixed`` distances, or ``poisson``: independent ones, the same in every run.
    """
    if arrivals == "fixed":
        return [number / per_s for number in range(count)]
    chance = random.Random(1)  # noqa: S311 - arrivals, not secrets
    moments: list[float] = []
    moment = 0.0
    for _ in range(count):
        moments.append(moment)
        moment += chance.expovariate(per_s)
    return moments


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
    """Answer questions: ``prepare`` a load, then ``go``."""
    endpoints = {
        agency: Endpoint(Path(item["folder"]), item["port"]) for agency, item in setup["agencies"].items()
    }
    hurry()
    now = datetime.now(UTC)
    ordinary = {nation: make_templates(nation, now=now) for nation in setup["nations"]}
    urgent = {nation: [make_urgent_template(nation, now=now)] for nation in setup["nations"]}
    accepted = Path(setup["accepted"])
    run: Run | None = None
    for question in questions():
        try:
            if question.pop("do") == "prepare":
                plan = Plan(**question)
                source = urgent if plan.urgent else ordinary
                # Nations in turn: FR, US, FR, … where both send.
                rows = zip(*(source[nation] for nation in plan.nations), strict=True)
                run = Run(plan, endpoints, [template for row in rows for template in row])
                answer({"requests": len(run.requests)})
            elif run is not None:
                result = run.go()
                with accepted.open("a", encoding="ascii") as file:
                    file.writelines(f"{message_id}\n" for message_id in run.accepted)
                run = None
                answer(result)
        except (WireError, OSError) as error:
            answer({"error": str(error)})


if __name__ == "__main__":
    main(orjson.loads(Path(sys.argv[1]).read_bytes()))
