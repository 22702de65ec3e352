"""Who calls the operator port: operators, who decide, and auditors, who look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.core.entries import Role
from gateway.web.app import Identify
from gateway.web.identity import (
    AgencyRegistry,
    Certificate,
    RoleNotAllowedError,
    UnknownCertificateError,
)

ROLES: Final = frozenset({"operator", "auditor"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """An operator or auditor at the other end of a connection.

    Attributes:
        name: As the registry has it.
        role: ``operator`` or ``auditor``.
        spki: SHA-256 of the certificate's SPKI.
    """

    name: str
    role: str
    spki: bytes


def role_of_official(caller: object) -> Role:
    """Return the role of a caller of this port as the log numbers it."""
    return Role[caller.role.upper()] if isinstance(caller, Official) else Role.UNKNOWN


def identify_officials(registry: AgencyRegistry) -> Identify:
    """Return the function that finds the operator or auditor of a certificate."""

    def identify(certificate: Certificate | None) -> Official:
        found = None if certificate is None else registry.find(certificate.spki)
        if certificate is None or found is None:
            msg = "the registry does not list this certificate"
            raise UnknownCertificateError(msg)
        if found.role not in ROLES:
            msg = "this port is for operators and auditors"
            raise RoleNotAllowedError(msg)
        return Official(name=found.code, role=found.role, spki=certificate.spki)

    return identify
