"""The call of the operator port about incidents: what was recorded, what it means, what to do.

An incident is kept with its evidence, two notes where two contradict each other; whoever needs
those exports the logs. Here are the facts, and the kind in words in place of its number.

Spec: docs/operating.md, "Incidents"; docs/spec/log.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

from gateway.console.decisions import json_reply
from gateway.console.officials import Official
from gateway.console.words import Advice, advice
from gateway.core.entries import IncidentKind
from gateway.core.message.instants import time_text
from gateway.core.message.wording import Language
from gateway.ports import Incident
from gateway.web.exchange import Reply, Request
from gateway.web.routing import Route

MAX_INCIDENTS: Final = 1_000

INCIDENTS: Final[Mapping[int, Advice]] = MappingProxyType(
    {
        IncidentKind.FORK: advice(
            "Two validly signed notes of one log contradict each other; both are kept.",
            "docs/operating.md, Frozen pair.",
            "Deux notes valablement signées d'un même journal se contredisent ; les deux sont gardées.",
            "docs/operating.md, Frozen pair.",
        ),
        IncidentKind.RECOVERY: advice(
            "A node held less of this log than it had signed or cosigned, as after a restore. Of an exchange "
            "log the other node gave it back; what an audit log has lost is lost, and its successor says so.",
            "If this node was restored: find out why its database was old. If not: ask the peer's operators. "
            "Tell the auditors.",
            "Un nœud détenait moins de ce journal qu'il n'en avait signé ou cosigné, comme après une "
            "restauration. L'autre nœud a rendu un journal d'échange ; d'un journal d'audit, le perdu reste "
            "perdu, et son successeur le dit.",
            "Si c'est ce nœud qui a été restauré : cherchez pourquoi sa base était ancienne. Sinon : "
            "demandez aux exploitants du pair. Prévenez les auditeurs.",
        ),
        IncidentKind.PEER_ROLLBACK: advice(
            "A node held less of the other one's log than it had cosigned: it was restored from a backup.",
            "Nothing, if it was this node; else ask the peer's operators what happened.",
            "Un nœud détenait moins du journal de l'autre qu'il n'en avait cosigné : il a été restauré.",
            "Rien si c'était ce nœud ; sinon demandez aux exploitants du pair ce qui s'est passé.",
        ),
        IncidentKind.KEY_WITHDRAWN: advice(
            "A key was withdrawn.",
            "See that its successor is in use; docs/keys.md, When something goes wrong.",
            "Une clé a été retirée.",
            "Vérifiez que sa remplaçante est en service ; docs/cles.md, Quand quelque chose ne va pas.",
        ),
        IncidentKind.ERASED: advice(
            "The content of a message was erased on its way.",
            "Nothing.",
            "Le contenu d'un message a été effacé en chemin.",
            "Rien.",
        ),
        IncidentKind.MALFORMED_ENTRY: advice(
            "The peer's log holds an entry that this node cannot read; it was mirrored without effect.",
            "Ask the peer's operators which version they run.",
            "Le journal du pair a une entrée que ce nœud ne sait pas lire ; elle est copiée sans effet.",
            "Demandez aux exploitants du pair quelle version ils utilisent.",
        ),
        IncidentKind.CLOCK: advice(
            "The clock of this node was set or is behind what is signed, or the two nodes' clocks differ.",
            "Compare both with a time service; docs/operating.md, A wrong clock.",
            "L'horloge du nœud a été réglée ou retarde sur ce qui est signé, ou celles des nœuds diffèrent.",
            "Comparez les deux à un service de temps ; docs/operating.md, A wrong clock.",
        ),
        IncidentKind.RECEIPT_CONFLICT: advice(
            "The peer gave two receipts for the same entries that do not agree; the first one counts.",
            "Call the peer's operators and the auditors.",
            "Le pair a donné pour les mêmes entrées deux récépissés qui se contredisent ; le premier compte.",
            "Appelez les exploitants du pair et les auditeurs.",
        ),
        IncidentKind.DAMAGED: advice(
            "The database did not hold a log as it was appended: rows were changed, or the disk is failing.",
            "docs/operating.md, Damaged database.",
            "La base ne contenait pas un journal tel qu'il fut écrit : lignes modifiées, ou disque fautif.",
            "docs/operating.md, Damaged database.",
        ),
    }
)

STATED_FORK: Final = advice(
    "The peer says that a log forked, or names a state that our log never had. This node holds no proof.",
    "Ask the peer's operators what they saw. It stops nothing by itself.",
    "Le pair dit qu'un journal a divergé, ou nomme un état que le nôtre n'a jamais eu. Rien ne le prouve.",
    "Demandez aux exploitants du pair ce qu'ils ont vu. En soi, cela n'arrête rien.",
)

_UNKNOWN: Final = advice(
    "A kind that this version has no words for.",
    "docs/spec/log.md of the newer version.",
    "Un type pour lequel cette version n'a pas de mots.",
    "docs/spec/log.md de la version plus récente.",
)


class IncidentCalls(Protocol):
    """What a node has recorded; see `gateway.node.runtime.Node`."""

    async def incidents(self, *, limit: int) -> list[Incident]:
        """Return incidents, the newest first."""
        ...


def incident_routes(node: IncidentCalls) -> tuple[Route, ...]:
    """Return the call about incidents."""

    async def listing(request: Request[Official]) -> Reply:
        limit = request.query.integer("limit", default=100, low=1, high=MAX_INCIDENTS)
        request.query.done()
        found = await node.incidents(limit=limit)
        return json_reply({"incidents": [incident_document(item, request.language) for item in found]})

    query = frozenset({"limit"})
    return (
        Route(
            name="incidents", method="GET", path="/ops/v1/incidents", parts={}, handler=listing, query=query
        ),
    )


def incident_document(incident: Incident, language: Language) -> dict[str, Any]:
    """Return an incident as JSON, with its kind in words."""
    words = STATED_FORK if incident.is_stated else INCIDENTS.get(incident.kind, _UNKNOWN)
    labels = {int(kind): kind.name.lower().replace("_", "-") for kind in IncidentKind}
    label = labels.get(incident.kind, f"incident-{incident.kind}")
    return {
        "at": time_text(incident.at_ms),
        "kind": f"stated-{label}" if incident.is_stated else label,
        "says": words.says.text(language),
        "do": words.do.text(language),
        "origin": incident.origin,
        "size": incident.size,
        "root": incident.root.hex(),
        "notes": sum(note is not None for note in (incident.note_a, incident.note_b)),
    }
