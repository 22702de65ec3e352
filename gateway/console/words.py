"""What operators read of a node's state, in both languages: what is the matter, and what to do.

Codes are stable and machines read them; these texts are for people and may change.

Spec: docs/operating.md, "Ready, degraded, not ready" and "Queue".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.core.message.wording import Wording
from gateway.node.queue import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A code in words.

    Attributes:
        says: What it means.
        do: What to do about it, and who.
    """

    says: Wording
    do: Wording


def advice(says_en: str, do_en: str, says_fr: str, do_fr: str) -> Advice:
    """Return a code in words, both languages side by side."""
    return Advice(says=Wording(en=says_en, fr=says_fr), do=Wording(en=do_en, fr=do_fr))


HEALTH: Final[Mapping[str, Advice]] = MappingProxyType(
    {
        "starting": advice(
            "The node compares its database with what it has signed and with what the peer holds.",
            "Wait; if it lasts, the peer does not answer: `entente doctor` says more.",
            "Le nœud compare sa base avec ce qu'il a signé et avec ce que détient le pair.",
            "Attendez ; si cela dure, le pair ne répond pas : `entente doctor` en dit plus.",
        ),
        "recovering": advice(
            "The node gets back from the peer what its own log lacks; it accepts nothing meanwhile.",
            "Wait, and find out why the database was old.",
            "Le nœud récupère auprès du pair ce qui manque à son journal ; il n'accepte rien entre-temps.",
            "Attendez, et cherchez pourquoi la base était ancienne.",
        ),
        "frozen": advice(
            "Two histories of one log are proven, or one was given up because it cannot be proven; "
            "nothing is exchanged, posts are kept.",
            "entente pair show says which. Keep the database, call the peer's operators and the auditors.",
            "Deux histoires d'un même journal sont prouvées, ou l'une, impossible à prouver, a été "
            "abandonnée ; rien n'est échangé, les dépôts sont gardés.",
            "entente pair show dit laquelle des deux. Gardez la base, appelez les exploitants du pair et les "
            "auditeurs.",
        ),
        "stopping": advice(
            "The node is stopping.",
            "Start it again; its last line says why it stopped.",
            "Le nœud s'arrête.",
            "Redémarrez-le ; sa dernière ligne dit pourquoi il s'est arrêté.",
        ),
        "cannot-sign": advice(
            "The node cannot sign its audit log; nothing new can be proven.",
            "With a token: connect it or start its service; the event token.lost says why (docs/token.md). "
            "Without one: the event housekeeping.failed names the code (docs/keys.md).",
            "Le nœud ne peut pas signer son journal d'audit ; rien de nouveau ne peut être prouvé.",
            "Avec un jeton : branchez-le ou relancez son service ; l'événement token.lost dit pourquoi "
            "(docs/token.md). Sans jeton : l'événement housekeeping.failed nomme le code (docs/cles.md).",
        ),
        "store-stalled": advice(
            "The database has not finished a write for ten seconds; posts get no answer.",
            "Look at the disk, or at the database server; what is on its way there is not lost.",
            "La base n'a pas terminé d'écriture depuis dix secondes ; les dépôts restent sans réponse.",
            "Regardez le disque, ou le serveur de base de données ; ce qui y est en cours n'est pas perdu.",
        ),
        "disk-low": advice(
            "The disk is nearly full; agencies' messages are refused until there is room.",
            "Make room, or give the volume more; the node goes on by itself.",
            "Le disque est presque plein ; les messages des services sont refusés tant que la place manque.",
            "Faites de la place ou agrandissez le volume ; le nœud reprend de lui-même.",
        ),
        "maintenance": advice(
            "The node is under maintenance and takes nothing new on.",
            "entente maintenance end, when the work is done.",
            "Le nœud est en maintenance et ne prend rien de nouveau.",
            "entente maintenance end, quand le travail est fini.",
        ),
        "trust-ended": advice(
            "A certificate or revocation list has ended; whoever depends on it is refused.",
            "entente doctor names the file. Those of own/ are yours to renew, those of peer/ the peer's "
            "operators': docs/keys.md, What ends when.",
            "Un certificat ou une liste de révocation est arrivé à son terme ; qui en dépend est refusé.",
            "entente doctor nomme le fichier. Ceux de own/ sont à renouveler par vous, ceux de peer/ par les "
            "exploitants du pair : docs/cles.md, Échéances.",
        ),
        "peer-away": advice(
            "The last exchange with the peer failed; messages are accepted and wait.",
            "entente queue list says why; if the peer does not answer, call its operators.",
            "Le dernier échange avec le pair a échoué ; les messages sont acceptés et attendent.",
            "entente queue list dit pourquoi ; si le pair ne répond pas, appelez ses exploitants.",
        ),
        "peer-frozen": advice(
            "The peer says that the pair is frozen, and takes nothing; this node knows of no reason. What "
            "the peer sends is taken, messages are accepted and wait.",
            "Call the peer's operators: it is for them to show both notes (entente pair show --save there), "
            "and for your auditors to compare them; docs/operating.md, Frozen pair.",
            "Le pair dit que la liaison est gelée et ne prend rien ; ce nœud n'en connaît aucune raison. Ce "
            "que le pair envoie est pris, les messages sont acceptés et attendent.",
            "Appelez les exploitants du pair : c'est à eux de montrer les deux notes (entente pair show "
            "--save chez eux), à vos auditeurs de les comparer ; docs/operating.md, Frozen pair.",
        ),
        "log-damaged": advice(
            "The database does not hold a log as it was appended: rows were changed, or the disk is failing.",
            "Keep a copy of the database, find out who; entente doctor names the log. Tell the auditors.",
            "La base ne contient pas un journal tel qu'il fut écrit : lignes modifiées, ou disque fautif.",
            "Gardez une copie de la base et cherchez qui ; entente doctor nomme le journal. "
            "Prévenez les auditeurs.",
        ),
        "agreement-differs": advice(
            "The two nodes hold different versions of some types; these do not flow.",
            "docs/operating.md, Changing the catalogue.",
            "Les deux nœuds n'ont pas la même version de certains types ; ceux-ci ne circulent pas.",
            "docs/operating.md, Changing the catalogue.",
        ),
        "clock-wrong": advice(
            "The clock was set, is behind what is signed, or differs from the peer's.",
            "Compare both nodes' clocks with a time service; docs/operating.md, A wrong clock.",
            "L'horloge a été réglée, retarde sur ce qui est signé, ou diffère de celle du pair.",
            "Comparez les horloges des deux nœuds à un service de temps ; docs/operating.md, A wrong clock.",
        ),
    }
)
"""Obstacles and troubles of `gateway.node.health`."""

CAUSES: Final[Mapping[str, Advice]] = MappingProxyType(
    {
        Cause.IN_TURN.value: advice(
            "Nothing is wrong with it; it waits its turn.",
            "Nothing; if many wait, the peer or this machine is slow: see the metrics.",
            "Rien d'anormal ; il attend son tour.",
            "Rien ; si beaucoup attendent, le pair ou cette machine est lent : voir les métriques.",
        ),
        Cause.PEER_AWAY.value: advice(
            "The partner node does not answer, or asks to come again later.",
            "Check the line; call the peer's operators; entente queue retry when they are back.",
            "Le nœud partenaire ne répond pas, ou demande de revenir plus tard.",
            "Vérifiez la ligne ; appelez les exploitants du pair ; entente queue retry à leur retour.",
        ),
        Cause.PEER_REFUSES.value: advice(
            "The partner node refuses what this node sends.",
            "The code of `line` says what for; call the peer's operators.",
            "Le nœud partenaire refuse ce que ce nœud envoie.",
            "Le code de `line` dit pourquoi ; appelez les exploitants du pair.",
        ),
        Cause.OWN_CERTIFICATE_ENDED.value: advice(
            "The certificate that this node shows its peer, own/tls-peer.pem, has ended.",
            "entente keys rotate tls-peer, then export to the peer (docs/keys.md, Every 60 days).",
            "Le certificat que ce nœud montre au pair, own/tls-peer.pem, est arrivé à son terme.",
            "entente keys rotate tls-peer, puis export au pair (docs/cles.md, Tous les 60 jours).",
        ),
        Cause.OWN_KEY_UNKNOWN.value: advice(
            "The partner node does not know the key that this node shows it, of own/tls-peer.pem.",
            "entente keys export-trust; bring it to the peer's operators, who import it (docs/keys.md, "
            "Exchange with the peer).",
            "Le nœud partenaire ne connaît pas la clé que ce nœud lui montre, celle de own/tls-peer.pem.",
            "entente keys export-trust ; portez-le aux exploitants du pair, qui l'importent (docs/cles.md, "
            "Échange avec le pair).",
        ),
        Cause.CANNOT_SIGN.value: advice(
            "This node cannot sign: the token with half of its keys is away. Sent when it is back.",
            "Connect the token or start its service; the event token.lost says why (docs/token.md).",
            "Ce nœud ne peut pas signer : le jeton qui détient la moitié de ses clés manque. L'envoi suivra.",
            "Branchez le jeton ou relancez son service ; token.lost dit pourquoi (docs/token.md).",
        ),
        Cause.PAIR_FROZEN.value: advice(
            "The pair is frozen: a log has two signed histories, or this generation was given up.",
            "entente pair show says which; docs/operating.md, Frozen pair.",
            "La liaison est gelée : un journal a deux histoires signées, ou cette génération est abandonnée.",
            "entente pair show dit laquelle des deux ; docs/operating.md, Frozen pair.",
        ),
        Cause.PEER_FROZEN.value: advice(
            "The partner node says that the pair is frozen and takes nothing; this node has no proof.",
            "Call the peer's operators: they have to show why. docs/operating.md, Frozen pair.",
            "Le nœud partenaire dit la liaison gelée et ne prend rien ; ce nœud n'en a aucune preuve.",
            "Appelez les exploitants du pair : à eux d'en montrer la raison. docs/operating.md, Frozen pair.",
        ),
        Cause.RECOVERING.value: advice(
            "This node compares or refills its own log before it sends anything.",
            "Wait; if it lasts, the peer does not answer: call its operators.",
            "Ce nœud compare ou complète son propre journal avant d'envoyer quoi que ce soit.",
            "Attendez ; si cela dure, le pair ne répond pas : appelez ses exploitants.",
        ),
        Cause.NO_PEER_KEY.value: advice(
            "The partner node has not announced a key to encrypt to.",
            "Its node has not run yet, or has not reached ours: call the peer's operators.",
            "Le nœud partenaire n'a pas annoncé de clé de chiffrement.",
            "Son nœud n'a pas encore tourné, ou n'a pas joint le nôtre : appelez les exploitants du pair.",
        ),
        Cause.UNCONFIRMED.value: advice(
            "It was sent, and the partner node has not confirmed that it holds it.",
            "entente queue retry; if it stays, call the peer's operators.",
            "Il est parti, et le nœud partenaire n'a pas confirmé le détenir.",
            "entente queue retry ; si cela dure, appelez les exploitants du pair.",
        ),
        Cause.NO_RECEIPT.value: advice(
            "The partner node holds it, and has not said what it decided.",
            "Its answers do not reach us: see that its node is ready; call its operators.",
            "Le nœud partenaire le détient, et n'a pas dit ce qu'il a décidé.",
            "Ses réponses ne nous parviennent pas : son nœud est-il prêt ? Appelez ses exploitants.",
        ),
        Cause.EXPIRED_HERE.value: advice(
            "Its delivery time was over before it could be sent.",
            "Tell the agency: it sends a new message if that is still needed. See why it waited.",
            "Son délai de remise était passé avant qu'il puisse partir.",
            "Prévenez le service : il envoie un nouveau message si c'est encore utile. "
            "Cherchez pourquoi il attendait.",
        ),
        Cause.NO_ANSWER_FROM_PEER.value: advice(
            "The partner nation has not answered this request by its deadline.",
            "The agency that asked decides: remind the partner, or cancel the request.",
            "La nation partenaire n'a pas répondu à cette demande dans son délai.",
            "Le service demandeur décide : relancer le partenaire, ou retirer la demande.",
        ),
        Cause.NO_ANSWER_FROM_US.value: advice(
            "An agency of this nation has not answered this request by its deadline.",
            "Tell the addressed agency.",
            "Un service de cette nation n'a pas répondu à cette demande dans son délai.",
            "Prévenez le service destinataire.",
        ),
    }
)
"""What keeps a message where it is, or why it ended, where no receipt says so."""
