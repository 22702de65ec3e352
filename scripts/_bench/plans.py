"""Loads as they are asked for and as they are made ready: plans, requests, due times.

Everything is made before the clock starts, so that the generator only has to send it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from scripts._bench.messages import Template, stamped
from scripts._bench.mixes import spoil
from scripts._bench.wire import post_request

JSON = "application/json"
NDJSON = "application/x-ndjson"


@dataclass(slots=True)
class Request:
    """A request that is ready to be sent.

    Attributes:
        agency: Who posts it.
        data: Its bytes, head and body.
        ids: Ids of its messages.
        spoiled: Those of them that are invalid and have to be refused.
        due_s: When it is due on the monotonic clock; of a closed load, when it was first sent.
    """

    agency: str
    data: bytes
    ids: list[str]
    spoiled: frozenset[str] = frozenset()
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
        mix: ``flat``, all of one length, or ``real``, of the lengths of `scripts._bench.mixes`.
        invalid: Share of messages that have to be refused, evenly spread; 1 spoils all of them.
    """

    nations: Sequence[str]
    lines: int
    count: int
    connections: int
    rate: float | None = None
    arrivals: str = "fixed"
    urgent: bool = False
    mix: str = "flat"
    invalid: float = 0.0


def make_requests(plan: Plan, templates: Sequence[Template]) -> list[Request]:
    """Return the requests of a load, those of different agencies in turn."""
    waiting: dict[str, list[tuple[str, bytes]]] = {}
    spoiled: set[str] = set()
    requests: list[Request] = []

    def flush(agency: str) -> None:
        group = waiting.pop(agency)
        ids = [message_id for message_id, _ in group]
        if plan.lines == 1:
            data = post_request("/v1/messages", group[0][1], JSON)
        else:
            data = post_request("/v1/messages:batch", b"\n".join(body for _, body in group), NDJSON)
        bad = spoiled.intersection(ids)
        requests.append(Request(agency=agency, data=data, ids=ids, spoiled=frozenset(bad)))

    for number, (template, message_id, body) in enumerate(stamped(templates, plan.count)):
        group = waiting.setdefault(template.agency, [])
        # Evenly spread: where the count of those that are due goes up by one.
        place = int((number + 1) * plan.invalid)
        if place > int(number * plan.invalid):
            spoiled.add(message_id)
            group.append((message_id, spoil(body, place)))
        else:
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
