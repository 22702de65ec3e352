"""The calls of the operator port for what needs two operators: look, propose, approve, reject.

Operators decide, auditors look. Who approves names the digest of what was shown, so that nothing
else can be approved.

Spec: docs/operating.md, "Two operators".
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Final, Protocol

from gateway.console.decisions import Field, actor_of, json_reply, read_change, read_decision
from gateway.console.officials import Official
from gateway.core.message.instants import time_text
from gateway.core.message.wording import Wording
from gateway.node.approvals import Approvals
from gateway.node.enrolment import Enrolled, documented
from gateway.node.proposals import Proposal, Word
from gateway.web.exchange import Reply, Request
from gateway.web.routing import UUID, Route

_SHA384: Final = re.compile("[0-9a-f]{96}")
_DIGEST: Final = Field(
    expected=Wording(
        en="the SHA-384 of the change, 96 hexadecimal digits",
        fr="le SHA-384 de la modification, 96 chiffres hexadécimaux",
    ),
    fits=lambda value: isinstance(value, str) and _SHA384.fullmatch(value) is not None,
)


class ApprovalCalls(Protocol):
    """What needs two operators; see `gateway.node.approvals.ApprovalDesk`."""

    async def approvals(self) -> Approvals:
        """Return how things stand."""
        ...

    async def find(self, proposal_id: bytes) -> Proposal:
        """Return a proposal."""
        ...

    async def propose_registry(self, by: Enrolled, reason: str) -> Proposal:
        """Propose the registry as its file is now."""
        ...

    async def approve(self, by: Enrolled, proposal_id: bytes, digest: bytes, reason: str) -> Proposal:
        """Carry out what another operator has proposed."""
        ...

    async def reject(self, by: Enrolled, proposal_id: bytes, reason: str) -> Proposal:
        """End a proposal without doing anything."""
        ...


def approval_routes(desk: ApprovalCalls) -> tuple[Route, ...]:
    """Return the calls about what needs two operators."""

    async def look(request: Request[Official]) -> Reply:
        del request
        return json_reply(approvals_document(await desk.approvals()))

    async def show(request: Request[Official]) -> Reply:
        return json_reply(proposal_document(await desk.find(_id(request))))

    async def propose(request: Request[Official]) -> Reply:
        by = enrolled_of(request.caller)
        reason = read_decision(request.body, ()).reason
        return json_reply(proposal_document(await desk.propose_registry(by, reason)))

    async def approve(request: Request[Official]) -> Reply:
        by = enrolled_of(request.caller)
        values = read_change(request.body, {"digest": _DIGEST})
        digest = bytes.fromhex(values["digest"])
        return json_reply(proposal_document(await desk.approve(by, _id(request), digest, values["reason"])))

    async def reject(request: Request[Official]) -> Reply:
        by = enrolled_of(request.caller)
        reason = read_decision(request.body, ()).reason
        return json_reply(proposal_document(await desk.reject(by, _id(request), reason)))

    path = "/ops/v1/approvals"
    return (
        Route(name="approvals", method="GET", path=path, parts={}, handler=look),
        Route(name="approval", method="GET", path=f"{path}/{{id}}", parts={"id": UUID}, handler=show),
        _post("approval-propose", f"{path}:propose", propose),
        _post("approval-approve", f"{path}/{{id}}:approve", approve, one=True),
        _post("approval-reject", f"{path}/{{id}}:reject", reject, one=True),
    )


def enrolled_of(official: Official) -> Enrolled:
    """Return who decides, as the registry names them.

    Raises:
        RoleNotAllowedError: An auditor; auditors only look.
    """
    actor_of(official)
    return Enrolled(role=official.role, code=official.name, spki=official.spki)


def approvals_document(found: Approvals) -> dict[str, Any]:
    """Return how things stand as JSON."""
    return {
        "required": found.required,
        "operators": found.operators,
        "waiting": [documented(item) for item in found.waiting],
        "unconfirmed": [
            {**documented(item.enrolled), "since": time_text(item.at_ms)} for item in found.unconfirmed
        ],
        "proposals": [proposal_document(item) for item in found.proposals],
    }


def proposal_document(item: Proposal) -> dict[str, Any]:
    """Return a proposal as JSON."""
    return {
        "id": str(uuid.UUID(bytes=item.proposal_id)),
        "fate": item.fate.value,
        "change": item.content,
        "digest": item.digest.hex(),
        "proposed": _word(item.proposed),
        "until": time_text(item.ends_ms),
        "decided": None if item.decided is None else _word(item.decided),
    }


def _word(word: Word) -> dict[str, Any]:
    return {
        "by": None if word.by is None else documented(word.by),
        "at": time_text(word.at_ms),
        "reason": word.reason,
    }


def _id(request: Request[Official]) -> bytes:
    return uuid.UUID(request.names["id"]).bytes


def _post(name: str, path: str, handler: Any, *, one: bool = False) -> Route:
    return Route(
        name=name,
        method="POST",
        path=path,
        parts={"id": UUID} if one else {},
        handler=handler,
        media_types=frozenset({"application/json"}),
        max_body=4_096,
    )
