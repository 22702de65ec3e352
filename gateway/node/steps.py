"""Many messages, step after step, rather than message after message.

What a message passes through is code of six libraries and of the interpreter: digest, cipher,
JSON, schema, rules, rows. That is far more than the 32 KiB of instructions that a core of a
processor keeps at hand, so message after message each step has to fetch its own from afar.
Taken over 64 messages, a step fetches them once, and 64 messages are still few enough for the
second cache. The same functions then take a quarter less time (docs/performance-changes.md).

An error ends the way of its own message only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from gateway.errors import GatewayError
from gateway.node.defects import unexamined

SLICE: Final = 64
"""Messages that a step takes in a row. From 64 to 256 it makes no difference, below 32 it does."""


class Work(Protocol):
    """One message on its way through the steps.

    Attributes:
        failure: What ended its way, or None.
    """

    failure: Exception | None

    @property
    def named(self) -> bytes | None:
        """Return the id of the message, 16 bytes, or None while it is not known."""
        ...


T = TypeVar("T")
W = TypeVar("W", bound=Work)


def run_steps(
    items: Sequence[W], steps: Sequence[Callable[[W], None]], *passing: type[Exception], size: int = SLICE
) -> None:
    """Take messages through all steps. One that fails keeps the error and goes no further.

    Args:
        items: The messages, none of which has failed; each is changed by the steps.
        steps: What is done with each message, in this order.
        passing: Errors of the caller's own that steps raise on purpose, besides those of the project.
            Any other is a defect of the step and becomes `UnexaminedError`.
        size: Messages that each step takes in a row.
    """
    on_purpose: tuple[type[Exception], ...] = (GatewayError, *passing)
    for start in range(0, len(items), size):
        left: Sequence[W] = items[start : start + size]
        for step in steps:
            failed = False
            for item in left:
                try:
                    step(item)
                except on_purpose as error:
                    item.failure, failed = error, True
                except Exception as error:  # noqa: BLE001 - a defect is whatever nobody thought of
                    item.failure, failed = unexamined(item.named, error), True
            if failed:
                left = [item for item in left if item.failure is None]


def given(value: T | None) -> T:
    """Return what an earlier step has found; without it, the steps stand in a wrong order."""
    if value is None:
        msg = "a step was taken before the one that it builds on"
        raise AssertionError(msg)
    return value
