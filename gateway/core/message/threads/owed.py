"""What an answer owes to the request that it answers, by the type of the answer.

Each function returns what is broken. They run only once the answer is a fitting reply, and
take a request as it was sent or with its values in force, whichever the answer fits: a
correction may have crossed the answer on the way. Nothing can be compared with a request
that was erased, and then nothing is broken.

Spec: docs/spec/rules.md, "Replies".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from gateway.core.message.instants import instant_ms
from gateway.core.message.threads.corrections import versions
from gateway.core.message.threads.view import Broken, StoredMessage, ThreadView

Json = dict[str, Any]
Owed = Callable[[Json, StoredMessage, ThreadView], Broken]


def _acknowledgement(payload: Json, request: StoredMessage, _: ThreadView) -> Broken:
    """CX-ACK: whoever will be later than asked says why."""
    expected_by = payload.get("expected_by")
    is_late = (
        expected_by is not None
        and request.reply_by_ms is not None
        and instant_ms(expected_by) > request.reply_by_ms
    )
    return [("CX-ACK", "/payload/expected_by")] if is_late and "delay_reason" not in payload else []


def _answer(payload: Json, request: StoredMessage, threads: ThreadView) -> Broken:
    """CX-REPLY: parts run without a gap, and only questions that were asked are answered."""
    broken: Broken = []
    if payload["part"] != _last_part(request, threads) + 1:
        broken.append(("CX-REPLY", "/payload/part"))
    if request.type == "assist.request/1":
        highest = max((answer["q"] for answer in payload["answers"]), default=0)
        if not _fits(request, threads, lambda asked: highest <= len(asked["questions"])):
            broken.append(("CX-REPLY", "/payload/answers"))
    return broken


def _last_part(request: StoredMessage, threads: ThreadView) -> int:
    """Return the part of the newest answer to a request, 0 if there is none."""
    answers = [reply for reply in threads.replies(request.message_id) if reply.type == "assist.reply/1"]
    opened = threads.content(answers[-1].message_id) if answers else None
    # Parts have no gap, so when the newest answer was erased their number is as good.
    return len(answers) if opened is None else int(opened["payload"]["part"])


def _examination(payload: Json, request: StoredMessage, threads: ThreadView) -> Broken:
    """CX-INSPECT: the container is one of those that were to be examined."""

    def is_wanted(asked: Json) -> bool:
        containers = asked["consignment"].get("containers", ())
        return any(container["number"] == payload["container"] for container in containers)

    return [] if _fits(request, threads, is_wanted) else [("CX-INSPECT", "/payload/container")]


def _match_results(payload: Json, request: StoredMessage, threads: ThreadView) -> Broken:
    """CX-RESULTS: exactly one result for each token of the query."""
    given = sorted(result["idx"] for result in payload["results"])
    fits = _fits(request, threads, lambda asked: given == sorted(token["idx"] for token in asked["tokens"]))
    return [] if fits else [("CX-RESULTS", "/payload/results")]


def _boarding(payload: Json, request: StoredMessage, threads: ThreadView) -> Broken:
    """CX-BOARDDEC: no step is decided that was not asked for."""
    fits = _fits(request, threads, lambda asked: set(payload["steps"]) <= set(asked["authorise"]))
    return [] if fits else [("CX-BOARDDEC", "/payload/steps")]


def _fits(request: StoredMessage, threads: ThreadView, test: Callable[[Json], bool]) -> bool:
    """Tell whether an answer fits its request as sent or as corrected; an erased one fits."""
    sent = threads.content(request.message_id)
    if sent is None or test(sent["payload"]):
        return True  # the usual case: corrections are not even asked for
    return any(test(version["payload"]) for version in versions(request.message_id, threads)[1:])


OWED: Final[Mapping[str, Owed]] = MappingProxyType(
    {
        "assist.ack/1": _acknowledgement,
        "assist.reply/1": _answer,
        "inspect.result/1": _examination,
        "match.result/1": _match_results,
        "marine.boarding_decision/1": _boarding,
    }
)
"""By type of the answer."""
