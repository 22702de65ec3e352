"""What every change through the operator port has in common: a role, a reason, strict JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.console.officials import Official
from gateway.core.entries import Role
from gateway.core.message.strict_json import JsonRefusedError, parse_json
from gateway.core.message.wording import Wording
from gateway.node.audit_log import Actor
from gateway.web.exchange import Reply
from gateway.web.identity import RoleNotAllowedError
from gateway.web.refusals import BadParameter, ParameterError
from gateway.web.routing import UUID

MAX_REASON: Final = 500

_UUID: Final = re.compile(UUID)
_REASON: Final = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{MAX_REASON}}}")
_OBJECT: Final = Wording(en="a JSON object", fr="un objet JSON")
_REASON_EXPECTED: Final = Wording(
    en="1 to 500 characters, without control characters", fr="1 à 500 caractères, sans caractère de contrôle"
)
_ONE_OF: Final = Wording(en="exactly one of {names}, an id", fr="un seul de {names}, un identifiant")
_UNKNOWN: Final = Wording(en="no such field here", fr="ce champ n'existe pas ici")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A change with its reason.

    Attributes:
        reason: Why.
        field: Which of the ids it names; empty if it names none.
        value: That id, a lower-case UUID.
    """

    reason: str
    field: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a change, besides its reason.

    Attributes:
        expected: What it has to be, in words.
        fits: Says whether a value is that.
    """

    expected: Wording
    fits: Callable[[Any], bool]


def actor_of(official: Official) -> Actor:
    """Return who decides.

    Raises:
        RoleNotAllowedError: An auditor; auditors only look.
    """
    if official.role != "operator":
        msg = "only an operator may change something"
        raise RoleNotAllowedError(msg)
    return Actor(role=Role.OPERATOR, spki=official.spki)


def read_decision(body: bytes, subjects: Sequence[str]) -> Decision:
    """Return the decision in a body: a reason and, where there are subjects, one of them.

    Raises:
        ParameterError: It is not as documented; the error names every field.
    """
    document, bad = _document(body)
    reason = document.get("reason")
    named = [name for name in subjects if name in document]
    value = document.get(named[0]) if len(named) == 1 else None
    if subjects and (not isinstance(value, str) or _UUID.fullmatch(value) is None):
        bad.append(BadParameter(name=subjects[0], expected=_ONE_OF.fill(names=", ".join(subjects))))
    if not document.keys() <= {"reason", *subjects}:
        bad.append(BadParameter(name="", expected=_UNKNOWN))
    if bad:
        raise ParameterError(bad)
    return Decision(reason=str(reason), field=named[0] if named else "", value=str(value or ""))


def read_change(body: bytes, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the fields of a change, all of which must be there, and its ``reason``.

    Raises:
        ParameterError: It is not as documented; the error names every field.
    """
    document, bad = _document(body)
    bad += [
        BadParameter(name=name, expected=field.expected)
        for name, field in fields.items()
        if name not in document or not field.fits(document[name])
    ]
    if not document.keys() <= {"reason", *fields}:
        bad.append(BadParameter(name="", expected=_UNKNOWN))
    if bad:
        raise ParameterError(bad)
    return document


def _document(body: bytes) -> tuple[dict[str, Any], list[BadParameter]]:
    """Return the object in a body, and what is wrong with its reason."""
    try:
        document = parse_json(body)
    except JsonRefusedError as error:
        raise ParameterError([BadParameter(name="", expected=_OBJECT)]) from error
    reason = document.get("reason")
    if isinstance(reason, str) and _REASON.fullmatch(reason) is not None:
        return document, []
    return document, [BadParameter(name="reason", expected=_REASON_EXPECTED)]


def json_reply(document: Any) -> Reply:
    """Return an answer in JSON."""
    return Reply(body=orjson.dumps(document))
