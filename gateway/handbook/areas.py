"""The headings under which readers look for types, in the order of the index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.core.message.wording import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A heading under which readers look for types.

    Attributes:
        wording: The heading.
        prefixes: First part of the names of its types.
    """

    wording: Wording
    prefixes: tuple[str, ...]


AREAS: Final = tuple(
    Area(wording=Wording(en=en, fr=fr), prefixes=prefixes)
    for en, fr, prefixes in (
        ("Urgent alerts", "Alertes urgentes", ("alert",)),
        ("Intelligence", "Renseignement", ("intel",)),
        ("Mutual assistance", "Assistance mutuelle", ("assist",)),
        ("Pseudonymised matching", "Recherche pseudonymisée", ("match",)),
        ("Targeting of cargo and passengers", "Ciblage du fret et des voyageurs", ("target",)),
        (
            "Inspections, seizures, laboratories",
            "Contrôles, saisies, laboratoires",
            ("inspect", "seizure", "lab"),
        ),
        ("Investigations", "Enquêtes", ("invest",)),
        ("Joint operations", "Opérations conjointes", ("ops",)),
        ("Sea and air", "Mer et air", ("marine", "air")),
        ("Financial flows", "Flux financiers", ("fin",)),
        (
            "Express freight, post and e-commerce",
            "Fret express, poste et commerce en ligne",
            ("parcel", "ecom"),
        ),
        ("Drugs and precursors", "Stupéfiants et précurseurs", ("drug",)),
        ("Arms", "Armes", ("arms",)),
        ("Fraud and forced labour", "Fraude et travail forcé", ("fraud", "labor")),
        ("Ports, airports and major events", "Ports, aéroports et grands événements", ("facility", "event")),
        ("Best practices", "Bonnes pratiques", ("practice",)),
        ("What happens to information afterwards", "Vie de l'information transmise", ("gov",)),
        ("Node to node", "De nœud à nœud", ("sys",)),
    )
)
"""In the order of the index; what fits none of them stands under "Other"."""
