"""Every refusal of every port: its code, its HTTP status, and its texts in two languages.

The only table in which an error meets an HTTP status. The texts are constants: an answer
never repeats what it was sent.

Spec: docs/api.md, "Problems".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.core.message.wording import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One kind of refusal.

    Attributes:
        code: Stable word; the audit log has the same.
        status: HTTP status.
        title: What happened.
        detail: What it means and what to do.
    """

    code: str
    status: int
    title: Wording
    detail: Wording


def _problem(
    code: str, status: int, title_en: str, detail_en: str, title_fr: str, detail_fr: str
) -> tuple[str, Problem]:
    return code, Problem(
        code=code,
        status=status,
        title=Wording(en=title_en, fr=title_fr),
        detail=Wording(en=detail_en, fr=detail_fr),
    )


PROBLEMS: Final[Mapping[str, Problem]] = MappingProxyType(
    dict(
        (
            # --- 400: cannot be read ----------------------------------------------
            _problem(
                "request-malformed",
                400,
                "Malformed request",
                "The request is not HTTP/1.1 in its strict form, or is beyond a limit: 2,048 bytes of "
                "path with its query, 8,192 of a header value, 64 header lines. The client has to be "
                "mended.",
                "Requête mal formée",
                "La requête n'est pas du HTTP/1.1 dans sa forme stricte, ou dépasse une limite : 2 048 "
                "octets de chemin avec ses paramètres, 8 192 par valeur d'en-tête, 64 lignes d'en-tête. "
                "Le client est à corriger.",
            ),
            _problem(
                "message-unreadable",
                400,
                "Unreadable message",
                "The body is not strict JSON, so nothing else was checked. `errors` says what is expected.",
                "Message illisible",
                "Le corps n'est pas du JSON strict ; rien d'autre n'a été vérifié. "
                "`errors` dit ce qui est attendu.",
            ),
            _problem(
                "parameter-invalid",
                400,
                "Invalid parameter",
                "A query parameter or header is not as documented; see `errors`.",
                "Paramètre non valable",
                "Un paramètre ou un en-tête n'est pas conforme à la documentation ; voir `errors`.",
            ),
            _problem(
                "body-not-expected",
                400,
                "Body not expected",
                "This call takes no body.",
                "Corps inattendu",
                "Cet appel ne prend pas de corps.",
            ),
            _problem(
                "malformed",
                400,
                "Malformed bytes",
                "The bytes are not in the one form that the protocol allows.",
                "Octets mal formés",
                "Les octets n'ont pas la seule forme que le protocole permet.",
            ),
            # --- 403, 404, 405, 408 ----------------------------------------------------
            _problem(
                "certificate-unknown",
                403,
                "Unknown certificate",
                "No certificate, or one that this node does not list. Ask the operator of the node.",
                "Certificat inconnu",
                "Pas de certificat, ou un certificat que ce nœud ne connaît pas. "
                "Adressez-vous à l'exploitant du nœud.",
            ),
            _problem(
                "certificate-expired",
                403,
                "Expired certificate",
                "The certificate has run out. Use a newer one.",
                "Certificat expiré",
                "Le certificat n'est plus valable. Utilisez-en un plus récent.",
            ),
            _problem(
                "certificate-revoked",
                403,
                "Certificate not accepted",
                "The certificate is revoked, or the node's revocation list is too old to tell. "
                "Ask the operator of the node.",
                "Certificat non accepté",
                "Le certificat est révoqué, ou la liste de révocation du nœud est trop ancienne pour le "
                "dire. Adressez-vous à l'exploitant du nœud.",
            ),
            _problem(
                "role-not-allowed",
                403,
                "Not allowed",
                "The role of this certificate does not allow this call.",
                "Non autorisé",
                "Le rôle de ce certificat ne permet pas cet appel.",
            ),
            _problem(
                "wrong-sender",
                403,
                "Not your agency",
                "`header.from.agency` is not the agency of the certificate. "
                "An agency sends in its own name only.",
                "Service différent",
                "`header.from.agency` n'est pas le service du certificat. Un service n'envoie qu'en son nom.",
            ),
            _problem(
                "signature-invalid",
                403,
                "Invalid signature",
                "A required signature is absent or does not verify.",
                "Signature non valable",
                "Une signature requise est absente ou ne se vérifie pas.",
            ),
            _problem(
                "peer-identity",
                403,
                "Not the peer",
                "The key of this certificate is not one that the peer's statement names.",
                "Ce n'est pas le pair",
                "La clé de ce certificat n'est pas nommée par la déclaration de clés du pair.",
            ),
            _problem(
                "not-found",
                404,
                "Not found",
                "There is no such thing for you. Check path and id; what belongs to others is "
                "answered in the same way.",
                "Introuvable",
                "Rien de tel n'existe pour vous. Vérifiez chemin et identifiant ; ce qui est à d'autres "
                "reçoit la même réponse.",
            ),
            _problem(
                "unknown-type",
                404,
                "Unknown message type",
                "The catalogue of this node has no such message type.",
                "Type de message inconnu",
                "Le catalogue de ce nœud n'a pas ce type de message.",
            ),
            _problem(
                "unknown-log",
                404,
                "Unknown log",
                "This node shows no such log to its peer.",
                "Journal inconnu",
                "Ce nœud ne montre pas un tel journal à son pair.",
            ),
            _problem(
                "method-not-allowed",
                405,
                "Method not allowed",
                "This path takes other methods; the Allow header lists them.",
                "Méthode non permise",
                "Ce chemin prend d'autres méthodes ; voir l'en-tête Allow.",
            ),
            _problem(
                "body-timeout",
                408,
                "Body too slow",
                "The body did not arrive in time. Nothing of it was kept.",
                "Corps trop lent",
                "Le corps n'est pas arrivé à temps. Rien n'en a été conservé.",
            ),
            # --- 409, 410, 413, 415, 417 -------------------------------------------------
            _problem(
                "idempotency-conflict",
                409,
                "Idempotency key in use",
                "This idempotency key (or message id) was used before with another body. Repeat that post "
                "with the very same body, or draw a new key for another one.",
                "Clé d'idempotence déjà utilisée",
                "Cette clé d'idempotence (ou cet identifiant) a déjà servi avec un autre corps. Répétez ce "
                "dépôt avec exactement le même corps, ou tirez une nouvelle clé pour un autre.",
            ),
            _problem(
                "already-sent",
                409,
                "Already sent",
                "The message was sent, so it cannot be withdrawn any more. Send a message that corrects it.",
                "Déjà envoyé",
                "Le message est parti ; il ne peut plus être retiré. Envoyez un message qui le corrige.",
            ),
            _problem(
                "not-logged-yet",
                409,
                "Not in a log yet",
                "The message is not in a signed log yet, so nothing proves it. Ask again once it is sent.",
                "Pas encore au journal",
                "Le message n'est pas encore dans un journal signé ; rien ne le prouve. Attendez son envoi.",
            ),
            _problem(
                "size-conflict",
                409,
                "Another size",
                "This node mirrors another size of the log; the body says which.",
                "Autre taille",
                "Ce nœud a une autre taille du journal ; le corps dit laquelle.",
            ),
            _problem(
                "on-hold",
                409,
                "On legal hold",
                "A legal hold keeps the content of this message. It is erased when the hold is lifted.",
                "Sous conservation légale",
                "Une mesure de conservation garde le contenu de ce message. "
                "Il est effacé quand elle est levée.",
            ),
            _problem(
                "content-erased",
                410,
                "Content erased",
                "The content of this message was erased. The proofs of its exchange remain.",
                "Contenu effacé",
                "Le contenu de ce message a été effacé. Les preuves de son échange demeurent.",
            ),
            _problem(
                "message-too-large",
                413,
                "Message too large",
                "A message, with what the node fills in, is at most 1,048,576 bytes long.",
                "Message trop long",
                "Un message, avec ce que le nœud y complète, compte au plus 1 048 576 octets.",
            ),
            _problem(
                "body-too-large",
                413,
                "Body too large",
                "The body is longer than this call takes, or a batch has too many lines: 1 MiB for a "
                "message, 16 MiB and 5,000 lines for a batch, 1 MiB and 1,000 lines of acknowledgements. "
                "Send it in parts.",
                "Corps trop long",
                "Le corps est plus long que ce que cet appel accepte, ou un lot compte trop de lignes : "
                "1 Mio pour un message, 16 Mio et 5 000 lignes pour un lot, 1 Mio et 1 000 lignes "
                "d'acquittements. Envoyez-le en plusieurs fois.",
            ),
            _problem(
                "media-type",
                415,
                "Media type not supported",
                "The Content-Type is absent or not the one that this call takes.",
                "Type de média non pris en charge",
                "Le Content-Type manque ou n'est pas celui que cet appel accepte.",
            ),
            _problem(
                "content-encoding",
                415,
                "Compressed body",
                "Bodies are sent uncompressed, without Content-Encoding.",
                "Corps compressé",
                "Les corps sont envoyés non compressés, sans Content-Encoding.",
            ),
            _problem(
                "expectation-failed",
                417,
                "Expectation failed",
                "The only expectation that is met is 100-continue.",
                "Attente non satisfaite",
                "La seule attente satisfaite est 100-continue.",
            ),
            _problem(
                "not-waiting",
                409,
                "Not on its way",
                "The message has ended, or came from the peer, so there is nothing to try again. "
                "The agency sends a new message.",
                "Pas en route",
                "Le message est clos, ou vient du pair : il n'y a rien à réessayer. "
                "Le service envoie un nouveau message.",
            ),
            _problem(
                "not-in-maintenance",
                409,
                "Not in maintenance",
                "The node is not under maintenance, so there is none to end.",
                "Pas en maintenance",
                "Le nœud n'est pas en maintenance ; il n'y en a pas à terminer.",
            ),
            _problem(
                "approval-not-required",
                409,
                "No approval needed",
                "Changes do not need two operators at this node (`approvals.two_operators`), so there is "
                "nothing to propose.",
                "Aucune approbation requise",
                "Les modifications n'exigent pas deux exploitants sur ce nœud (`approvals.two_operators`) ; "
                "il n'y a rien à proposer.",
            ),
            _problem(
                "nothing-to-propose",
                409,
                "Nothing to propose",
                "The registry file names nobody who waits for an approval, and nobody was taken out "
                "unconfirmed.",
                "Rien à proposer",
                "Le registre ne nomme personne qui attende une approbation, et aucun retrait n'est à "
                "confirmer.",
            ),
            _problem(
                "too-many-proposals",
                409,
                "Too many proposals",
                "A hundred proposals are open. Approve or reject some of them first.",
                "Trop de propositions",
                "Cent propositions sont ouvertes. Approuvez-en ou rejetez-en d'abord quelques-unes.",
            ),
            _problem(
                "proposal-over",
                409,
                "Proposal over",
                "The proposal was approved or rejected already, or its time is over. Propose again if it is "
                "still wanted.",
                "Proposition close",
                "La proposition a déjà été approuvée ou rejetée, ou son délai est écoulé. Proposez à nouveau "
                "si elle est encore souhaitée.",
            ),
            _problem(
                "proposal-altered",
                409,
                "Not what was proposed",
                "The digest is not that of the proposal, or the registry file does not name everybody any "
                "more whom it enrols. Nothing was changed. Find out who changed the file, and propose again.",
                "Différent de la proposition",
                "L'empreinte n'est pas celle de la proposition, ou le registre ne nomme plus tous ceux "
                "qu'elle "
                "inscrit. Rien n'a été modifié. Cherchez qui a modifié le fichier, puis proposez à nouveau.",
            ),
            _problem(
                "second-operator-needed",
                409,
                "A second operator is needed",
                "Who approves must be another operator than who proposed, with another name and another key, "
                "and both must be operators of this node now.",
                "Un second exploitant est requis",
                "Qui approuve doit être un autre exploitant que qui a proposé, avec un autre nom et une "
                "autre clé, et les deux doivent être exploitants de ce nœud maintenant.",
            ),
            # --- 422, 423 ----------------------------------------------------------------
            _problem(
                "message-refused",
                422,
                "Message refused",
                "The message does not satisfy its schema, the rules or the agreement. "
                "Nothing of it was kept; `errors` names the violations.",
                "Message refusé",
                "Le message ne respecte pas son schéma, les règles ou l'accord. "
                "Rien n'en a été conservé ; `errors` nomme les violations.",
            ),
            _problem(
                "type-not-agreed",
                422,
                "Type not agreed",
                "The two nodes do not hold the same version of this message type, so it does not flow; "
                "others do. Nothing was kept. The operators of both nodes have to act; post it again then.",
                "Type non convenu",
                "Les deux nœuds n'ont pas la même version de ce type de message : il ne circule pas, "
                "les autres si. Rien n'a été conservé. Les exploitants des deux nœuds doivent agir ; "
                "renvoyez-le ensuite.",
            ),
            _problem(
                "root-mismatch",
                422,
                "Another root",
                "The entries do not lead to the root that the note signs.",
                "Autre racine",
                "Les entrées ne mènent pas à la racine que signe la note.",
            ),
            _problem(
                "log-closed",
                422,
                "Log closed",
                "A successor of this log was cosigned already; the log itself is closed.",
                "Journal clos",
                "Un successeur de ce journal a déjà été cosigné ; le journal lui-même est clos.",
            ),
            _problem(
                "consistency-refused",
                422,
                "Not consistent",
                "The proof does not lead from what was cosigned to what is shown.",
                "Non cohérent",
                "La preuve ne mène pas de ce qui a été cosigné à ce qui est montré.",
            ),
            _problem(
                "peer-refused",
                422,
                "Not acceptable",
                "What the peer sent contradicts what this node knows.",
                "Non recevable",
                "Ce que le pair a envoyé contredit ce que sait ce nœud.",
            ),
            _problem(
                "pair-frozen",
                423,
                "Pair frozen",
                "A log has two signed histories, or was given up; the operators of both nodes decide.",
                "Liaison gelée",
                "Un journal a deux histoires signées, ou fut abandonné ; les exploitants décident.",
            ),
            _problem(
                "pair-not-frozen",
                409,
                "Pair not frozen",
                "The pair is not frozen, and the peer does not ask for a new generation: nothing to resume.",
                "Liaison non gelée",
                "La liaison n'est pas gelée et le pair ne demande pas de nouvelle génération : "
                "rien à reprendre.",
            ),
            _problem(
                "nothing-to-override",
                409,
                "Nothing to override",
                "This node does not wait for its peer.",
                "Rien à outrepasser",
                "Ce nœud n'attend pas son pair.",
            ),
            _problem(
                "unproven-history",
                409,
                "Unproven history",
                "Entries that this node signed are missing in its database: only the peer has them. "
                "Wait for the peer, or give this generation up: docs/operating.md, “Recovery”.",
                "Historique non prouvé",
                "Des entrées que ce nœud a signées manquent à sa base de données : seul le pair les a. "
                "Attendez le pair, ou abandonnez cette génération : docs/operating.md, « Recovery ».",
            ),
            # --- 429, 500, 503, 505 ------------------------------------------------------
            _problem(
                "too-many-requests",
                429,
                "Too many requests",
                "Too many requests of this certificate. Retry as Retry-After says.",
                "Trop de requêtes",
                "Trop de requêtes de ce certificat. Réessayez comme l'indique Retry-After.",
            ),
            _problem(
                "too-many-connections",
                429,
                "Too many connections",
                "Too many open connections of this certificate. Reuse them.",
                "Trop de connexions",
                "Trop de connexions ouvertes de ce certificat. Réutilisez-les.",
            ),
            _problem(
                "overloaded",
                429,
                "Overloaded",
                "The node has too much to do right now. Retry as Retry-After says.",
                "Surchargé",
                "Le nœud a trop à faire. Réessayez comme l'indique Retry-After.",
            ),
            _problem(
                "quota",
                429,
                "Quota used up",
                "Your agency has sent as many messages as it may for now; this one was not looked at. "
                "Retry as Retry-After says, or ask the operator of the node for more.",
                "Quota épuisé",
                "Votre service a envoyé autant de messages qu'il peut pour l'instant ; celui-ci n'a pas été "
                "examiné. Réessayez comme l'indique Retry-After, ou demandez davantage à l'exploitant.",
            ),
            _problem(
                "internal",
                500,
                "Internal error",
                "The node failed at this request. Its operator finds it in the log.",
                "Erreur interne",
                "Le nœud a échoué sur cette requête. Son exploitant la trouvera dans le journal.",
            ),
            _problem(
                "unexamined",
                500,
                "Not examined",
                "The node failed at examining this message; the fault is in its program. Nothing was "
                "kept. Its operator finds the place in the log.",
                "Non examiné",
                "Le nœud a échoué à examiner ce message ; l'erreur est dans son programme. Rien n'a été "
                "conservé. Son exploitant en trouvera l'endroit dans le journal.",
            ),
            _problem(
                "unavailable",
                503,
                "Not available",
                "The node cannot do this right now. Retry as Retry-After says.",
                "Indisponible",
                "Le nœud ne peut pas le faire. Réessayez comme l'indique Retry-After.",
            ),
            _problem(
                "recovering",
                503,
                "Recovering",
                "The node is getting back what its own log lacks, and accepts nothing meanwhile. "
                "Retry as Retry-After says.",
                "En reprise",
                "Le nœud récupère ce qui manque à son propre journal et n'accepte rien entre-temps. "
                "Réessayez comme l'indique Retry-After.",
            ),
            _problem(
                "sending-unknown",
                503,
                "Sending unknown",
                "The node does not know before the other node has answered whether the message has arrived: "
                "it has started, or the pair went on in a new generation while the message was on its way. "
                "Nothing was changed. Retry as Retry-After says.",
                "Envoi inconnu",
                "Le nœud ne sait pas, avant la réponse de l'autre nœud, si le message est arrivé : il a "
                "démarré, ou la paire a repris dans une nouvelle génération alors que le message était en "
                "chemin. Rien n'a été changé. Réessayez comme l'indique Retry-After.",
            ),
            _problem(
                "crew-lost",
                503,
                "Lost on the way",
                "A process of the node ended over this; nothing of it was accepted. Repeat the call with the "
                "same idempotency key.",
                "Perdu en chemin",
                "Un processus du nœud s'est terminé là-dessus ; rien n'en a été accepté. Répétez l'appel "
                "avec la même clé d'idempotence.",
            ),
            _problem(
                "maintenance",
                503,
                "Under maintenance",
                "The node takes no new messages on for now; what it has accepted is sent, and inboxes can "
                "be read. Retry as Retry-After says.",
                "En maintenance",
                "Le nœud ne prend pas de nouveaux messages pour l'instant ; ce qu'il a accepté part, et les "
                "boîtes de réception se lisent. Réessayez comme l'indique Retry-After.",
            ),
            _problem(
                "no-answer-in-time",
                503,
                "No answer in time",
                "The node did not come to an answer in time. Repeat the call with the same idempotency key.",
                "Pas de réponse à temps",
                "Le nœud n'a pas répondu à temps. Répétez l'appel avec la même clé d'idempotence.",
            ),
            _problem(
                "store-failed",
                503,
                "Storage failed",
                "The node cannot store anything right now; nothing was accepted. Its operator has to act.",
                "Panne de stockage",
                "Le nœud ne peut rien enregistrer ; rien n'a été accepté. Son exploitant doit agir.",
            ),
            _problem(
                "disk-low",
                507,
                "Disk nearly full",
                "The node has too little room for new messages; nothing was accepted. Its operator has to "
                "make room. Retry as Retry-After says.",
                "Disque presque plein",
                "Le nœud n'a plus assez de place pour de nouveaux messages ; rien n'a été accepté. Son "
                "exploitant doit en faire. Réessayez comme l'indique Retry-After.",
            ),
            _problem(
                "http-version",
                505,
                "HTTP version not supported",
                "This port speaks HTTP/1.1.",
                "Version de HTTP non prise en charge",
                "Ce port parle HTTP/1.1.",
            ),
        )
    )
)
