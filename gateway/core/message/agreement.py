"""What the two nations have agreed on beside the message types.

Markings and their equivalence, the ceiling of the link, who is above whom, deadlines per
precedence, the values that complete a draft, and the code tables that rules look up. All
of it is data in ``schemas/agreement.json`` and ``schemas/tables/``: a change of the
agreement is a change of files, and of the digest both nodes compare.

Spec: docs/spec/messages.md, "Agreement".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.core.message.wording import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Nation:
    """A party of the agreement.

    Attributes:
        name: What people call it.
        alpha3: ISO 3166 alpha-3 code, as in ``releasable_to``.
        policy: The marking policy its originators write.
    """

    name: Wording
    alpha3: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedence:
    """What a precedence promises.

    Attributes:
        deliver_minutes: From node to node.
        answer_minutes: To the first human answer.
        expires_hours: Time to live that a draft gets when it names none.
    """

    deliver_minutes: int
    answer_minutes: int
    expires_hours: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftDefaults:
    """Values that complete a draft when the agency gave none.

    Attributes:
        marking_level: Level by policy.
        cui_categories: Categories by policy, used with that level only.
        handling: Handling codes.
        use: ``evidence``, ``dissemination`` and ``onward_transfer``.
        legal_basis: Bases of a type that demands none of its own.
        safeguards: Safeguards of a message with personal data.
        category_legal_basis: Basis that a category of personal data adds.
        category_safeguards: Safeguard that a category of personal data adds.
        subjects_by_role: Data subject by role of a person, where the role alone tells it.
    """

    marking_level: Mapping[str, str]
    cui_categories: Mapping[str, tuple[str, ...]]
    handling: tuple[str, ...]
    use: Mapping[str, str]
    legal_basis: tuple[str, ...]
    safeguards: tuple[str, ...]
    category_legal_basis: Mapping[str, str]
    category_safeguards: Mapping[str, str]
    subjects_by_role: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agreement:
    """The agreement as the rules and the completion of drafts read it.

    Attributes:
        schema_version: Newest version of header and payload that this node knows.
        announced_versions: Later minor versions whose unknown fields are let through.
        rules_edition: Raised with every change of a condition in code, so that two nodes
            with different rules see different digests.
        nations: By code: ``FR``, ``US``.
        parties: Their ISO 3166 alpha-3 codes.
        agency_names: By agency code.
        agency_nation: Nation by agency code.
        superiors: Superior agency by agency code; an agency without one is absent.
        precedences: By code.
        levels: Marking levels by policy, lowest first.
        rank: Rank by level; the same word has the same rank in both policies.
        ceiling: Highest rank that may cross this link.
        equivalence: By policy, the level of the other policy for each of its levels.
        no_transfer_bases: Legal bases that never suffice alone.
        defaults: What completes a draft.
        iso2: ISO 3166-1 alpha-2 codes.
        iso3: ISO 3166-1 alpha-3 codes.
        eu: Member states of the European Union, ISO 3166-1 alpha-2.
        currency: ISO 4217 currencies, with their number of decimals.
        iban_len: Length of an IBAN by country.
        fentanyls: CAS numbers of fentanyls and nitazenes, which are never delivered in full.
        type_ids: Every message type of the catalogue, with its version. They are the names of
            files, and the one thing here that no type's digest covers.
    """

    schema_version: str
    announced_versions: frozenset[str]
    rules_edition: int
    nations: Mapping[str, Nation]
    parties: frozenset[str]
    agency_names: Mapping[str, Wording]
    agency_nation: Mapping[str, str]
    superiors: Mapping[str, str]
    precedences: Mapping[str, Precedence]
    levels: Mapping[str, tuple[str, ...]]
    rank: Mapping[str, int]
    ceiling: int
    equivalence: Mapping[str, Mapping[str, str]]
    no_transfer_bases: frozenset[str]
    defaults: DraftDefaults
    iso2: frozenset[str]
    iso3: frozenset[str]
    eu: frozenset[str]
    currency: Mapping[str, int]
    iban_len: Mapping[str, int]
    fentanyls: frozenset[str]
    type_ids: frozenset[str]

    def rank_of(self, marking: Mapping[str, Any], nation: str) -> int | None:
        """Return the rank of a marking's level, or None if it is no level of the nation's own policy."""
        policy, level = marking["policy"], marking["level"]
        is_own = policy == self.nations[nation].policy and level in self.levels[policy]
        return self.rank[level] if is_own else None


def build_agreement(
    document: Mapping[str, Any], tables: Mapping[str, Any], type_ids: frozenset[str]
) -> Agreement:
    """Return the agreement that ``schemas/agreement.json`` states.

    Args:
        document: The parsed file, already accepted by ``agreement.schema.json``.
        tables: The ``values`` of each file of ``schemas/tables/``, by its name.
        type_ids: Every message type of the catalogue.
    """
    levels: dict[str, tuple[str, ...]] = {}
    rank: dict[str, int] = {}
    equivalence: dict[str, Mapping[str, str]] = {}
    for policy, rows in document["marking"]["levels"].items():
        levels[policy] = tuple(row["level"] for row in rows)
        rank.update((row["level"], row["rank"]) for row in rows)
        equivalence[policy] = MappingProxyType({row["level"]: row["equivalent"] for row in rows})
    agencies = document["agencies"]
    return Agreement(
        schema_version=document["schema_version"],
        announced_versions=frozenset(document["announced_versions"]),
        rules_edition=document["rules_edition"],
        nations=MappingProxyType(
            {
                code: Nation(name=Wording(**row["name"]), alpha3=row["alpha3"], policy=row["policy"])
                for code, row in document["nations"].items()
            }
        ),
        parties=frozenset(row["alpha3"] for row in document["nations"].values()),
        agency_names=MappingProxyType({code: Wording(**row["name"]) for code, row in agencies.items()}),
        agency_nation=MappingProxyType({code: row["nation"] for code, row in agencies.items()}),
        superiors=MappingProxyType(
            {code: row["superior"] for code, row in agencies.items() if "superior" in row}
        ),
        precedences=MappingProxyType(
            {code: Precedence(**row) for code, row in document["precedences"].items()}
        ),
        levels=MappingProxyType(levels),
        rank=MappingProxyType(rank),
        ceiling=document["marking"]["ceiling"],
        equivalence=MappingProxyType(equivalence),
        no_transfer_bases=frozenset(document["no_transfer_bases"]),
        defaults=_build_defaults(document["defaults"]),
        iso2=frozenset(tables["iso2"]),
        iso3=frozenset(tables["iso3"]),
        eu=frozenset(tables["eu"]),
        currency=MappingProxyType(dict(tables["currency"])),
        iban_len=MappingProxyType(dict(tables["iban_len"])),
        fentanyls=frozenset(tables["fentanyls"]),
        type_ids=type_ids,
    )


def _build_defaults(defaults: Mapping[str, Any]) -> DraftDefaults:
    """Return the values that complete a draft."""
    marking = defaults["marking"]
    return DraftDefaults(
        marking_level=MappingProxyType({policy: row["level"] for policy, row in marking.items()}),
        cui_categories=MappingProxyType(
            {policy: tuple(row.get("cui_categories", ())) for policy, row in marking.items()}
        ),
        handling=tuple(defaults["handling"]),
        use=MappingProxyType(dict(defaults["use"])),
        legal_basis=tuple(defaults["legal_basis"]),
        safeguards=tuple(defaults["safeguards"]),
        category_legal_basis=MappingProxyType(dict(defaults["category_legal_basis"])),
        category_safeguards=MappingProxyType(dict(defaults["category_safeguards"])),
        subjects_by_role=MappingProxyType(dict(defaults["subjects_by_role"])),
    )
