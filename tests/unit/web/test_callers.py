"""How much one certificate may use."""

from __future__ import annotations

import pytest

from gateway.web.callers import Callers
from gateway.web.limits import Limits
from gateway.web.refusals import TooManyRequestsError

A, B = b"a" * 32, b"b" * 32


def test_connections_of_one_certificate_are_counted_apart_from_others() -> None:
    callers = Callers(Limits(connections_per_caller=2))

    assert [callers.is_surplus(callers.opened(A, 0.0)) for _ in range(3)] == [False, False, True]
    assert not callers.is_surplus(callers.opened(B, 0.0))
    callers.closed(A)
    callers.closed(A)
    assert not callers.is_surplus(callers.opened(A, 0.0))


def test_requests_in_work_are_bounded() -> None:
    callers = Callers(Limits(requests_per_caller=2))
    usage = callers.opened(A, 0.0)
    callers.begin(usage, 0.0)
    callers.begin(usage, 0.0)
    with pytest.raises(TooManyRequestsError):
        callers.begin(usage, 0.0)
    usage.requests -= 1
    callers.begin(usage, 0.0)


def test_requests_a_second_are_bounded_with_room_for_a_burst() -> None:
    callers = Callers(Limits(requests_per_s=10))
    usage = callers.opened(A, 0.0)

    def admitted(now_s: float, asked: int) -> int:
        count = 0
        for _ in range(asked):
            try:
                callers.begin(usage, now_s)
            except TooManyRequestsError:
                continue
            usage.requests -= 1
            count += 1
        return count

    assert admitted(0.0, 50) == 20
    assert admitted(0.5, 50) == 5
    assert admitted(100.0, 50) == 20


def test_what_nobody_uses_is_forgotten() -> None:
    callers = Callers(Limits())
    callers.opened(A, 0.0)
    callers.closed(A)
    callers.closed(A)

    assert callers._usage == {}
