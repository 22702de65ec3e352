"""The events of the audit log: every name there is, in words of both languages.

A node writes no other ones, so this is the whole list of what an audit log can say. Objects,
outcomes and details of each are in the specification.

Spec: docs/spec/log.md, "Audit log".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.core.message.wording import Wording


def _words(en: str, fr: str) -> Wording:
    return Wording(en=en, fr=fr)


EVENTS: Final[Mapping[str, Wording]] = MappingProxyType(
    {
        # Messages.
        "message.accepted": _words("messages accepted", "messages acceptés"),
        "message.refused": _words("a post refused", "un dépôt refusé"),
        "message.read": _words("content read", "contenu lu"),
        "message.collected": _words("messages collected", "messages retirés"),
        "message.withdrawn": _words("a message withdrawn", "un message retiré par son auteur"),
        "message.expired": _words("messages expired before they were sent", "messages expirés avant envoi"),
        "message.erased": _words("contents erased", "contenus effacés"),
        "evidence.exported": _words("evidence handed out", "preuve remise"),
        "evidence.disclosed": _words(
            "evidence handed out, with the content key", "preuve remise, avec la clé du contenu"
        ),
        # What operators do.
        "erasure.ordered": _words("an erasure ordered", "un effacement ordonné"),
        "hold.set": _words("a legal hold set", "une conservation légale posée"),
        "hold.lifted": _words("a legal hold lifted", "une conservation légale levée"),
        "queue.retried": _words("sending tried again at once", "envoi retenté aussitôt"),
        "queue.cancelled": _words("a waiting message ended", "un message en attente annulé"),
        "quota.set": _words("a quota set for an agency", "un quota fixé pour un service"),
        "quota.cleared": _words("the quota of an agency taken back", "le quota d'un service retiré"),
        "maintenance.started": _words("maintenance begun", "maintenance commencée"),
        "maintenance.ended": _words("maintenance ended", "maintenance terminée"),
        "recovery.overridden": _words(
            "signing allowed without the peer's answer", "signature permise sans réponse du pair"
        ),
        "pair.signed_off": _words("another generation signed off", "nouvelle génération approuvée"),
        "approval.required": _words("changes need two operators", "deux opérateurs exigés"),
        "approval.waived": _words("changes need one operator", "un seul opérateur suffit"),
        "approval.proposed": _words("a change proposed", "un changement proposé"),
        "approval.approved": _words(
            "a change made by two operators", "un changement fait par deux opérateurs"
        ),
        "approval.rejected": _words("a proposal rejected", "une proposition rejetée"),
        "approval.expired": _words("a proposal expired", "une proposition expirée"),
        # Access.
        "access.granted": _words("a certificate let in", "un certificat admis"),
        "access.denied": _words("access denied", "accès refusé"),
        # Keys, trust, settings.
        "kem.announced": _words("a new KEM key announced", "nouvelle clé KEM annoncée"),
        "kem.destroyed": _words("KEM keys destroyed", "clés KEM détruites"),
        "keys.changed": _words("new keys of this node in force", "nouvelles clés du nœud en vigueur"),
        "registry.changed": _words("another registry of certificates", "autre registre des certificats"),
        "trust.changed": _words(
            "other certificates or revocation lists of a port",
            "autres certificats ou listes de révocation d'un port",
        ),
        "ceremony.held": _words("a key ceremony", "une cérémonie des clés"),
        "peer.imported": _words("the peer's trust imported", "confiance du pair importée"),
        "lists.renewed": _words("other reference lists in use", "autres listes de référence en usage"),
        "registry.withdrawn": _words("holders taken out of the registry", "titulaires retirés du registre"),
        "config.changed": _words("another configuration in effect", "autre configuration en vigueur"),
        "agreement.stated": _words("a catalogue stated", "un catalogue déclaré"),
        # The node and its logs.
        "node.started": _words("the node started", "nœud démarré"),
        "node.stopped": _words("the node stopped", "nœud arrêté"),
        "backup.made": _words("a backup made", "une sauvegarde faite"),
        "backup.restored": _words("restored from a backup", "restauré d'une sauvegarde"),
        "log.recovered": _words("the own log refilled from the peer", "journal complété auprès du pair"),
        "log.damaged": _words(
            "the database did not hold a log as it was appended",
            "la base ne contenait pas un journal tel qu'il fut écrit",
        ),
        "mirror.rolled_back": _words(
            "the mirror was older than cosigned", "copie plus ancienne que cosignée"
        ),
        "peer.rolled_back": _words(
            "the peer held less than it had cosigned", "le pair détenait moins que cosigné"
        ),
        "audit.succeeded": _words(
            "a successor of the audit log opened", "successeur du journal d'audit ouvert"
        ),
        "pair.resumed": _words(
            "the pair resumed in another generation", "liaison reprise dans une autre génération"
        ),
        "clock.alarm": _words("a clock alarm", "une alarme d'horloge"),
    }
)
