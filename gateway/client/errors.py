"""What can go wrong for an agency system, as exceptions.

`ProblemError` is an answer of the node (RFC 9457), with every violation; the others mean
that no answer came, that it cannot be read, or that nothing could be asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from gateway.errors import GatewayError, UnavailableError

_CODE: Final = re.compile(r"[a-z-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorItem:
    """One violation.

    Attributes:
        pointer: RFC 6901 JSON Pointer of the place in the message.
        rule: Id of the rule.
        message: What is expected, in the language that was asked for.
    """

    pointer: str
    rule: str
    message: str


class ProblemError(GatewayError):
    """The node refuses a call and says why.

    Attributes:
        status: HTTP status.
        problem: Stable code, such as ``message-refused``; see docs/api.md.
        title: What happened.
        detail: What it means and what to do.
        errors: The violations, for messages that are refused.
        truncated: Why there may be more of them: ``message`` or ``call``; see docs/api.md. Else None.
        retry_after_s: Seconds after which a repeat makes sense, or None.
    """

    code = "problem"

    def __init__(
        self,
        *,
        status: int,
        problem: str,
        title: str,
        detail: str,
        errors: tuple[ErrorItem, ...] = (),
        truncated: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        """Keep what the node said."""
        super().__init__(f"{title}: {detail}")
        self.status = status
        self.problem = problem
        self.title = title
        self.detail = detail
        self.errors = errors
        self.truncated = truncated
        self.retry_after_s = retry_after_s


class NotReachableError(UnavailableError):
    """No answer came, in spite of repeats: no connection, or none in time."""

    code = "node-not-reachable"


class AnswerUnreadableError(GatewayError):
    """An answer came that is not of this API: probably another server."""

    code = "answer-unreadable"


class IdentityError(GatewayError):
    """Certificate, key or trust anchor of the agency cannot be used; the text names the file."""

    code = "identity-unusable"


class KeyUnusableError(GatewayError):
    """An idempotency key is not 1 to 128 visible ASCII characters; nothing was sent."""

    code = "key-unusable"


class ClientClosedError(GatewayError):
    """The client was closed, also while the call was under way, or was opened before a fork.

    Whether a post under way has arrived is not known: repeat it with its key.
    """

    code = "client-closed"


def is_code(value: object) -> TypeGuard[str]:
    """Return whether this is a code as every problem document has one."""
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def problem_from(document: Any, *, status: int, retry_after_s: int | None = None) -> ProblemError:
    """Return the exception for a problem document; what it lacks stays empty.

    Args:
        document: The problem; anything else is one that lacks all.
        status: HTTP status, of the answer or of the line of a batch.
        retry_after_s: What the header Retry-After says; without one, what the document says.
    """
    fields = document if isinstance(document, dict) else {}
    code = fields.get("code")
    if retry_after_s is None and type(fields.get("retry_after")) is int:
        retry_after_s = fields["retry_after"]
    items = fields.get("errors")
    return ProblemError(
        status=status,
        problem=code if is_code(code) else "unknown",
        title=str(fields.get("title", f"HTTP {status}")),
        detail=str(fields.get("detail", "")),
        errors=tuple(
            ErrorItem(
                pointer=str(item.get("pointer", "")),
                rule=str(item.get("rule", "")),
                message=str(item.get("message", "")),
            )
            for item in (items if isinstance(items, list) else [])
            if isinstance(item, dict)
        ),
        truncated=str(fields["truncated"]) if "truncated" in fields else None,
        retry_after_s=retry_after_s,
    )
