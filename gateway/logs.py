"""The operator's log: one JSON line an event on standard error.

Event names are constants, data stands in fields. JSON is written always, terminal or not:
it cannot be broken by what a field holds.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def configure_logs(level: str, *, node: str) -> None:
    """Write events of at least ``level`` to standard error, each with the node's name."""

    # Not a context variable: threads of the node log as well, and have a context of their own.
    def named(_logger: object, _method: str, event: EventDict) -> EventDict:
        event.setdefault("node", node)
        return event

    structlog.configure(
        processors=[
            named,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard logger are quiet but for what goes wrong in them.
    logging.basicConfig(
        level=logging.ERROR,
        stream=sys.stderr,
        format='{"event": "library", "level": "%(levelname)s", "logger": "%(name)s"}',
    )
