"""Where an error meets an HTTP status: RFC 9457 problem details in two languages.

`gateway.web.problem_table` gives every error code its status, its title and its detail; an
answer never repeats what it was sent. ``type`` is the URN
``urn:entente:problem:<code>``; docs/api.md lists them all.

Spec: RFC 9457; docs/api.md, "Problems".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import orjson

from gateway.core.message.violation import MAX_VIOLATIONS
from gateway.core.message.wording import Language, Wording
from gateway.errors import GatewayError, OperatorError, PeerError, RejectedError, UnavailableError
from gateway.node.refusal import MAX_TOLD, Cut, RefusedError, TypeNotAgreedError
from gateway.web.problem_table import PROBLEMS, Problem
from gateway.web.refusals import MediaTypeError, MethodNotAllowedError, ParameterError

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
URN: Final = "urn:entente:problem:"
RULE_PARAMETER: Final = "PARAMETER"
"""Stands in ``rule`` where a query parameter or header is wrong."""

LATER: Final = frozenset({429, 503, 507})
"""Statuses that say when to come again."""

RULE_AGREEMENT: Final = "AGREEMENT"
"""Stands in ``rule`` where the two nodes do not hold the same version of a type."""

AGREEMENT_DIFFERS: Final = Wording(
    en="{type}: the two nodes hold different versions. The operators of both nodes have to agree on one; "
    "`GET /v1/agreement` shows when they have.",
    fr="{type} : les deux nœuds n'ont pas la même version. Les exploitants des deux nœuds doivent "
    "s'accorder ; `GET /v1/agreement` montre quand c'est fait.",
)

_TRUNCATED: Final[dict[Cut, Wording]] = {
    "message": Wording(
        en="The message does not satisfy its schema or the rules. Nothing of it was kept; it may break more "
        f"than `errors` names, which is {MAX_VIOLATIONS} violations at most, and those of a long message "
        "where it begins.",
        fr="Le message ne respecte pas son schéma ou les règles. Rien n'en a été conservé ; il peut en "
        f"enfreindre plus que `errors` n'en nomme, qui en compte au plus {MAX_VIOLATIONS}, et ceux d'un "
        "long message là où il commence.",
    ),
    "call": Wording(
        en="The message does not satisfy its schema or the rules. Nothing of it was kept; `errors` names its "
        f"first violation only, because this call has been told {MAX_TOLD:,} of earlier messages. Mend what "
        "is wrong there, or ask `POST /v1/messages:check` about this one.",
        fr="Le message ne respecte pas son schéma ou les règles. Rien n'en a été conservé ; `errors` ne "
        f"nomme que sa première violation, car cet appel en a déjà reçu {MAX_TOLD} pour les messages "
        "précédents. Corrigez ceux-ci, ou soumettez celui-ci à `POST /v1/messages:check`.",
    ),
}
"""Details of a refused message that may break more than is told."""

_CONTENT_TYPE: Final = Wording(en="`Content-Type` has to be {types}.", fr="`Content-Type` doit être {types}.")

_MAX_ACCEPT_LANGUAGE: Final = 256
_RANGE: Final = re.compile(
    r"[ \t]*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,32})?[ \t]*"
    r"(?:;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?[ \t]*"
)


def problem_of(error: BaseException) -> Problem:
    """Return what an error means to whoever made the call.

    An error without a line of its own in the table stands for its family; what is not an
    error of this project is ``internal``.
    """
    if not isinstance(error, GatewayError):
        return PROBLEMS["internal"]
    known = PROBLEMS.get(error.code)
    if known is not None:
        return known
    if isinstance(error, PeerError):
        return PROBLEMS["peer-refused"]
    if isinstance(error, UnavailableError | OperatorError):
        return PROBLEMS["unavailable"]
    if isinstance(error, RejectedError):
        return PROBLEMS["message-refused"]
    return PROBLEMS["internal"]


def document_of(error: BaseException, language: Language) -> dict[str, Any]:
    """Return the problem details of an error."""
    problem = problem_of(error)
    document: dict[str, Any] = {
        "type": URN + problem.code,
        "code": problem.code,
        "title": problem.title.text(language),
        "status": problem.status,
        "detail": problem.detail.text(language),
    }
    if isinstance(error, RefusedError) and error.violations:
        document["errors"] = [
            {
                "pointer": violation.pointer,
                "rule": violation.rule,
                "message": violation.text(language),
            }
            for violation in error.violations
        ]
        if error.truncated is not None:
            document["detail"] = _TRUNCATED[error.truncated].text(language)
            document["truncated"] = error.truncated
    elif isinstance(error, TypeNotAgreedError):
        wording = AGREEMENT_DIFFERS.fill(type=error.type)
        document["errors"] = [{"pointer": "/type", "rule": RULE_AGREEMENT, "message": wording.text(language)}]
    elif isinstance(error, MediaTypeError):
        wanted = _CONTENT_TYPE.fill(types=", ".join(error.accepted)).text(language)
        document["detail"] = f"{document['detail']} {wanted}"
    elif isinstance(error, ParameterError):
        document["errors"] = [
            {
                "pointer": "",
                "rule": RULE_PARAMETER,
                "message": f"{bad.name}: {bad.expected.text(language)}".removeprefix(": "),
            }
            for bad in error.parameters
        ]
    seconds = _retry_after_s(error)
    if seconds is not None:
        # Beside the header, for the lines of a batch: they have none.
        document["retry_after"] = seconds
    return document


def body_of(error: BaseException, language: Language) -> bytes:
    """Return the problem details of an error as JSON."""
    return orjson.dumps(document_of(error, language))


def headers_of(error: BaseException) -> tuple[tuple[str, str], ...]:
    """Return the headers that go with an error: when to come again, what is allowed.

    Spec: RFC 9110, sections 10.2.1, 10.2.3, 15.5.16.
    """
    if isinstance(error, MediaTypeError):
        return (("Accept", ", ".join(error.accepted)),)
    if isinstance(error, MethodNotAllowedError):
        return (("Allow", ", ".join(error.allowed)),)
    seconds = _retry_after_s(error)
    return () if seconds is None else (("Retry-After", str(seconds)),)


def _retry_after_s(error: BaseException) -> int | None:
    """Return after how many seconds a repeat makes sense, or None if it never does by itself."""
    if problem_of(error).status not in LATER:
        return None
    return max(1, error.retry_after_s if isinstance(error, UnavailableError) else 5)


@lru_cache(maxsize=256)
def language_of(accept_language: str | None) -> Language:
    """Return the better of French and English for an Accept-Language header.

    English without a header, for what cannot be read, and where both are as good.

    Spec: RFC 9110, section 12.5.4.
    """
    weights = {"en": 0.0, "fr": 0.0}
    if accept_language is None or len(accept_language) > _MAX_ACCEPT_LANGUAGE:
        return "en"
    for part in accept_language.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            continue
        name = match[1].lower()
        if name in weights:
            weight = 1.0 if match[2] is None else float(match[2])
            weights[name] = max(weights[name], weight)
    if weights["fr"] > weights["en"]:
        return "fr"
    return "en"
