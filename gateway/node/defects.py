"""Holding a defect of our own program to the one message that meets it.

A rule or a computation that raises what it must not is a defect of this node. Left alone it
would end the node at every such message, and the peer's as well, since both run the same
program: one message would stop the exchange, however often the nodes are started. So where
messages are decided one by one, such an error becomes the outcome of that message, and a
line in the operator's log that names the place in the program. What the database reports is
no defect of a message, and goes on as it is.

Spec: docs/spec/exchange.md, "Exceptions", `unexamined`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from gateway.errors import GatewayError, OperatorError

log = structlog.get_logger(__name__)

T = TypeVar("T")


class UnexaminedError(OperatorError):
    """This node failed at examining a message: the fault is in its program, not in the message."""

    code = "unexamined"


def places_of(error: BaseException) -> list[str]:
    """Return where an error came from, innermost last, at most six places of the program.

    Its text stays out of every log: it may quote a message.
    """
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-6:]
    ]


def contained(message_id: bytes | None, work: Callable[[], T], *passing: type[Exception]) -> T:
    """Return what ``work`` returns for one message; a defect in it concerns that message alone.

    Args:
        message_id: 16 bytes, or None while it is not known; for the operator's log.
        work: Examines the message.
        passing: Errors of the caller's own that go on as they are.

    Raises:
        UnexaminedError: It raised what is no error of this project.
        GatewayError: Whatever it raised on purpose.
    """
    on_purpose: tuple[type[Exception], ...] = (GatewayError, *passing)
    try:
        return work()
    except on_purpose:
        raise
    except Exception as error:  # noqa: BLE001 - a defect is whatever nobody thought of
        # Without its cause: whoever prints this error must not print that one.
        raise unexamined(message_id, error) from None


def unexamined(message_id: bytes | None, error: Exception) -> UnexaminedError:
    """Log the place of a defect, and return what its message is answered.

    Args:
        message_id: 16 bytes, or None while it is not known.
        error: What was raised. Its text may repeat a value from the message, so only its kind and
            its place are logged.
    """
    log.error(
        "message.unexamined",
        message_id=None if message_id is None else message_id.hex(),
        kind=type(error).__name__,
        frames=places_of(error),
    )
    msg = "this node failed at examining the message"
    return UnexaminedError(msg)
