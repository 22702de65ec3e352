"""Which agency a certificate stands for.

Spec: docs/api.md, "Who you are".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gateway.node.posts import Principal, agency_actor
from gateway.web.app import Identify
from gateway.web.identity import (
    AgencyRegistry,
    Certificate,
    RoleNotAllowedError,
    UnknownCertificateError,
)

AGENCY_ROLE = "agency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An agency at the other end of a connection.

    Attributes:
        principal: The agency, as the node knows it.
        certificate: What its certificate says.
    """

    principal: Principal
    certificate: Certificate


def identify_agencies(registry: AgencyRegistry, nation: str) -> Identify:
    """Return the function that finds the agency of a certificate.

    Args:
        registry: Asked with every request; its newest answer counts.
        nation: Nation of the node.
    """

    @lru_cache(maxsize=4_096)
    def caller(certificate: Certificate, agency: str) -> Caller:
        principal = Principal(nation=nation, agency=agency, actor=agency_actor(certificate.spki))
        return Caller(principal=principal, certificate=certificate)

    def identify(certificate: Certificate | None) -> Caller:
        found = None if certificate is None else registry.find(certificate.spki)
        if certificate is None or found is None:
            msg = "the registry does not list this certificate"
            raise UnknownCertificateError(msg)
        if found.role != AGENCY_ROLE:
            msg = "this port is for agencies"
            raise RoleNotAllowedError(msg)
        return caller(certificate, found.code)

    return identify
