"""Every call of the agency API, as data: one table for the router and for OpenAPI.

What a person reads is here in both languages. `gateway.api.app` gives each operation its
handler by name, `gateway.api.openapi` makes the document of it, and docs/api.md says the
same in prose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from gateway.api.conversations import STATES
from gateway.api.cursors import CURSOR
from gateway.api.messages import MAX_BATCH_LINES, MAX_PAGE, MAX_WAIT_S, NDJSON, ZIP
from gateway.core.message.strict_json import MAX_BODY_BYTES
from gateway.core.message.wording import Wording
from gateway.node.conversations import SHOWN
from gateway.node.refusal import MAX_TOLD
from gateway.web.exchange import JSON_MEDIA_TYPE
from gateway.web.limits import MIB
from gateway.web.routing import UUID

JSON_TYPES: Final = frozenset({JSON_MEDIA_TYPE, JSON_MEDIA_TYPE + ";charset=utf-8"})
NDJSON_TYPES: Final = frozenset({NDJSON, NDJSON + ";charset=utf-8"})
MAX_BATCH_BYTES: Final = 16 * MIB

NAME: Final = r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*"
VERSION: Final = "[1-9][0-9]{0,3}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter or header.

    Attributes:
        name: Its name.
        where: ``query`` or ``header``.
        schema: JSON Schema of its value.
        text: What it does.
    """

    name: str
    where: str
    schema: Mapping[str, Any]
    text: Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call.

    Attributes:
        name: Operation id; its handler has the same.
        method: HTTP method.
        path: Template.
        group: Heading under which readers find it.
        title: What it does, in a line.
        text: What else there is to know.
        parts: Regular expression of each variable part of the path.
        parameters: Query parameters and headers.
        media_type: Of the body it takes, or None.
        accepted_types: Exact media types, with their parameters.
        max_body: Longest body in bytes.
        body_schema: Name of the schema of its body.
        success: Status of a good answer.
        answer_type: Media type of a good answer.
        answer_schema: Name of the schema of a good answer.
        problems: Statuses of problems that only this call has.
        deadline_s: Seconds within which it is answered.
    """

    name: str
    method: str
    path: str
    group: str
    title: Wording
    text: Wording
    answer_schema: str
    parts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    parameters: tuple[Parameter, ...] = ()
    media_type: str | None = None
    accepted_types: frozenset[str] = frozenset()
    max_body: int = 0
    body_schema: str | None = None
    success: int = 200
    answer_type: str = JSON_MEDIA_TYPE
    problems: tuple[int, ...] = ()
    deadline_s: float = 30.0


_ID: Final = MappingProxyType({"id": UUID})

_KEY: Final = Parameter(
    name="Idempotency-Key",
    where="header",
    schema={"type": "string", "pattern": "^[!-~]{1,128}$"},
    text=Wording(
        en="Repeats of a call with the same key and body get the same answer; another body gets 409. "
        "Without it the message id is the key. In a batch every line has its own key, made of this "
        "one and the number of the line.",
        fr="Un appel répété avec la même clé et le même corps reçoit la même réponse ; un autre corps, "
        "409. À défaut, l'identifiant du message sert de clé. Dans un lot, chaque ligne a sa propre "
        "clé, faite de celle-ci et du numéro de la ligne.",
    ),
)


def _limit(default: int, most: int) -> Parameter:
    return Parameter(
        name="limit",
        where="query",
        schema={"type": "integer", "minimum": 1, "maximum": most, "default": default},
        text=Wording(en="Longest page.", fr="Longueur maximale d'une page."),
    )


_AFTER: Final = Parameter(
    name="after",
    where="query",
    schema={"type": "string", "pattern": f"^{CURSOR.pattern}$"},
    text=Wording(
        en="The `next` of the page before, unchanged.",
        fr="Le `next` de la page précédente, inchangé.",
    ),
)
_WAIT: Final = Parameter(
    name="wait",
    where="query",
    schema={"type": "number", "minimum": 0, "maximum": MAX_WAIT_S, "multipleOf": 0.001, "default": 0},
    text=Wording(
        en="Seconds to wait while there is nothing new.",
        fr="Secondes d'attente tant qu'il n'y a rien de nouveau.",
    ),
)

OPERATIONS: Final = (
    Operation(
        name="post_message",
        method="POST",
        path="/v1/messages",
        group="messages",
        title=Wording(en="Post a message or a draft", fr="Déposer un message ou un brouillon"),
        text=Wording(
            en="202 means: complete, valid, stored durably, and it will be sent. `message` is the "
            "completed document. A draft may leave out whatever the node or the agreement can fill in. "
            "`warnings`, if there are any, names values that are in no reference list of the node.",
            fr="202 signifie : complet, valide, enregistré durablement, et il sera envoyé. `message` est "
            "le document complété. Un brouillon peut omettre ce que le nœud ou l'accord complète. "
            "`warnings`, s'il y en a, signale les valeurs absentes des listes de référence du nœud.",
        ),
        parameters=(_KEY,),
        media_type=JSON_MEDIA_TYPE,
        accepted_types=JSON_TYPES,
        max_body=MAX_BODY_BYTES,
        body_schema="Draft",
        success=202,
        answer_schema="Acceptance",
        problems=(409, 422, 507),
    ),
    Operation(
        name="post_batch",
        method="POST",
        path="/v1/messages:batch",
        group="messages",
        title=Wording(en="Post many messages", fr="Déposer plusieurs messages"),
        text=Wording(
            en=f"One message or draft a line, at most {MAX_BATCH_LINES:,} lines and 16 MiB. The answer "
            "has one line for each, in order; each line stands alone. Once the call has been told "
            f"{MAX_TOLD:,} violations, further lines are told their first one only (`truncated`).",
            fr=f"Un message ou brouillon par ligne, au plus {MAX_BATCH_LINES} lignes et 16 Mio. La "
            "réponse a une ligne pour chacun, dans l'ordre ; chaque ligne est indépendante. Une fois que "
            f"l'appel a reçu {MAX_TOLD} violations, seule la première est dite des lignes suivantes "
            "(`truncated`).",
        ),
        parameters=(_KEY,),
        media_type=NDJSON,
        accepted_types=NDJSON_TYPES,
        max_body=MAX_BATCH_BYTES,
        body_schema="DraftLines",
        answer_type=NDJSON,
        answer_schema="ResultLines",
        problems=(507,),
        deadline_s=90.0,
    ),
    Operation(
        name="check_message",
        method="POST",
        path="/v1/messages:check",
        group="messages",
        title=Wording(en="Check a message without posting it", fr="Vérifier un message sans le déposer"),
        text=Wording(
            en="Everything but acceptance: the completed message, or the problems that posting would have.",
            fr="Tout sauf l'acceptation : le message complété, ou les problèmes qu'aurait le dépôt.",
        ),
        parameters=(
            Parameter(
                name="mode",
                where="query",
                schema={"type": "string", "enum": ["draft", "strict"], "default": "draft"},
                text=Wording(
                    en="`strict` completes nothing: the message has to be whole.",
                    fr="`strict` ne complète rien : le message doit être entier.",
                ),
            ),
        ),
        media_type=JSON_MEDIA_TYPE,
        accepted_types=JSON_TYPES,
        max_body=MAX_BODY_BYTES,
        body_schema="Draft",
        answer_schema="Checked",
        problems=(422,),
    ),
    Operation(
        name="list_messages",
        method="GET",
        path="/v1/messages",
        group="messages",
        title=Wording(en="List what this agency posted", fr="Lister ce que ce service a déposé"),
        text=Wording(en="Newest first.", fr="Du plus récent au plus ancien."),
        parameters=(_limit(100, MAX_PAGE), _AFTER),
        answer_schema="MessageList",
    ),
    Operation(
        name="get_message",
        method="GET",
        path="/v1/messages/{id}",
        group="messages",
        title=Wording(en="Follow a message", fr="Suivre un message"),
        text=Wording(
            en="State and timeline, each step with the log and index that prove it. With `wait` the "
            "answer comes once the timeline has another length than `events`.",
            fr="État et chronologie, chaque étape avec le journal et l'index qui la prouvent. Avec "
            "`wait`, la réponse vient dès que la chronologie n'a plus la longueur `events`.",
        ),
        parts=_ID,
        parameters=(
            _WAIT,
            Parameter(
                name="events",
                where="query",
                schema={"type": "integer", "minimum": 0, "maximum": 1_000},
                text=Wording(
                    en="Number of events that the caller knows already.",
                    fr="Nombre d'événements que l'appelant connaît déjà.",
                ),
            ),
        ),
        answer_schema="Tracked",
        problems=(404,),
        deadline_s=90.0,
    ),
    Operation(
        name="withdraw_message",
        method="POST",
        path="/v1/messages/{id}:withdraw",
        group="messages",
        title=Wording(en="Withdraw a message", fr="Retirer un message"),
        text=Wording(en="Before it is sent; later 409.", fr="Avant son envoi ; après, 409."),
        parts=_ID,
        answer_schema="Withdrawn",
        problems=(404, 409),
    ),
    Operation(
        name="get_evidence",
        method="GET",
        path="/v1/messages/{id}/evidence",
        group="messages",
        title=Wording(en="Prove a message to others", fr="Prouver un message à des tiers"),
        text=Wording(
            en="A ZIP archive that shows origin, delivery and acceptance of a message that you sent or "
            "received, to anybody, without our software. With `disclose` it also holds the key that opens "
            "this content, and no other. Both are in the audit log.",
            fr="Une archive ZIP qui montre à quiconque, sans notre logiciel, l'origine, la remise et "
            "l'acceptation d'un message que vous avez envoyé ou reçu. Avec `disclose`, elle contient aussi "
            "la clé qui ouvre ce contenu, et aucun autre. Les deux figurent au journal d'audit.",
        ),
        parts=_ID,
        parameters=(
            Parameter(
                name="disclose",
                where="query",
                schema={"type": "string", "enum": ["false", "true"], "default": "false"},
                text=Wording(en="Whether to disclose the content.", fr="S'il faut divulguer le contenu."),
            ),
        ),
        answer_type=ZIP,
        answer_schema="Archive",
        problems=(404, 409, 410),
    ),
    Operation(
        name="read_inbox",
        method="GET",
        path="/v1/inbox",
        group="inbox",
        title=Wording(en="Read what arrived", fr="Lire ce qui est arrivé"),
        text=Wording(
            en="By precedence, then arrival; what was acknowledged is left out. Waits up to `wait` "
            "seconds while there is nothing. Acknowledge what you have stored, then ask again from the "
            "beginning: an urgent message comes first, wherever a cursor stands.",
            fr="Par précédence, puis par arrivée, sans ce qui a été acquitté. Attend jusqu'à `wait` "
            "secondes tant qu'il n'y a rien. Acquittez ce que vous avez enregistré, puis redemandez "
            "depuis le début : un message urgent vient d'abord, où que soit le curseur.",
        ),
        parameters=(
            _WAIT,
            _limit(100, MAX_PAGE),
            _AFTER,
            Parameter(
                name="collected",
                where="query",
                schema={"type": "string", "enum": ["true", "false"], "default": "false"},
                text=Wording(
                    en="`true` lists what was acknowledged instead.",
                    fr="`true` liste au contraire ce qui a été acquitté.",
                ),
            ),
        ),
        answer_schema="InboxPage",
        deadline_s=90.0,
    ),
    Operation(
        name="read_message",
        method="GET",
        path="/v1/inbox/{id}",
        group="inbox",
        title=Wording(en="Read one message", fr="Lire un message"),
        text=Wording(
            en="With what this node verified: its place in the sender's log, the checkpoint that covers "
            "it, our receipt.",
            fr="Avec ce que ce nœud a vérifié : sa place dans le journal de l'expéditeur, le point de "
            "contrôle qui la couvre, notre accusé.",
        ),
        parts=_ID,
        answer_schema="ReceivedMessage",
        problems=(404, 410),
    ),
    Operation(
        name="acknowledge_message",
        method="POST",
        path="/v1/inbox/{id}:ack",
        group="inbox",
        title=Wording(en="Acknowledge a message", fr="Acquitter un message"),
        text=Wording(
            en="Says that the agency has stored it; the sender learns it through the log. May be "
            "repeated: the first time counts.",
            fr="Dit que le service l'a enregistré ; l'expéditeur l'apprend par le journal. Peut être "
            "répété : la première fois compte.",
        ),
        parts=_ID,
        answer_schema="Acknowledged",
        problems=(404,),
    ),
    Operation(
        name="acknowledge_batch",
        method="POST",
        path="/v1/inbox:ack",
        group="inbox",
        title=Wording(en="Acknowledge many messages", fr="Acquitter plusieurs messages"),
        text=Wording(
            en=f'One `{{"message_id": "…"}}` a line, at most {MAX_PAGE:,} lines. All that are yours are '
            "acknowledged together. The answer has one line for each, in order; each line stands alone.",
            fr=f'Un `{{"message_id": "…"}}` par ligne, au plus {MAX_PAGE} lignes. Ceux qui sont à vous sont '
            "acquittés ensemble. La réponse a une ligne pour chacun, dans l'ordre ; chaque ligne est "
            "indépendante.",
        ),
        media_type=NDJSON,
        accepted_types=NDJSON_TYPES,
        max_body=MIB,
        body_schema="AcknowledgementLines",
        answer_type=NDJSON,
        answer_schema="ResultLines",
    ),
    Operation(
        name="list_conversations",
        method="GET",
        path="/v1/conversations",
        group="conversations",
        title=Wording(en="List conversations", fr="Lister les conversations"),
        text=Wording(
            en="Open ones first, by the deadline of the answer, so that overdue ones lead; then the others, "
            "the newest first. With `state` a page may be shorter than `limit` although more follow: go on "
            "as long as there is a `next`.",
            fr="D'abord celles qui sont ouvertes, par échéance de réponse, donc celles en retard en tête ; "
            "puis les autres, la plus récente d'abord. Avec `state`, une page peut être plus courte que "
            "`limit` bien qu'une suite existe : continuez tant qu'il y a un `next`.",
        ),
        parameters=(
            _limit(50, 200),
            _AFTER,
            Parameter(
                name="state",
                where="query",
                schema={"type": "string", "pattern": f"^{STATES.pattern}$"},
                text=Wording(
                    en="Only conversations in one of these states, with commas between.",
                    fr="Seulement les conversations dans l'un de ces états, séparés par des virgules.",
                ),
            ),
        ),
        answer_schema="ConversationList",
    ),
    Operation(
        name="get_conversation",
        method="GET",
        path="/v1/conversations/{id}",
        group="conversations",
        title=Wording(en="Read a conversation", fr="Lire une conversation"),
        text=Wording(
            en="Its messages in both directions, oldest first, a page at a time, with what was done to each. "
            "Of all of it the state of each request, the deadlines, and the members and end of an operation "
            "room. When content goes (`delete_by`) is told of the messages of the page.",
            fr="Ses messages dans les deux sens, du plus ancien au plus récent, page par page, avec ce qui "
            "leur est arrivé. Pour l'ensemble, l'état de chaque demande, les échéances, les membres et "
            "la fin d'une salle d'opération. L'effacement du contenu (`delete_by`) est indiqué pour les "
            "messages de la page.",
        ),
        parts=_ID,
        parameters=(_limit(SHOWN, MAX_PAGE), _AFTER),
        answer_schema="Conversation",
        problems=(404,),
    ),
    Operation(
        name="list_types",
        method="GET",
        path="/v1/types",
        group="catalogue",
        title=Wording(en="List message types", fr="Lister les types de message"),
        text=Wording(en="Without their schemas.", fr="Sans leurs schémas."),
        answer_schema="TypeList",
    ),
    Operation(
        name="get_type",
        method="GET",
        path="/v1/types/{name}/{version}",
        group="catalogue",
        title=Wording(en="Read a message type", fr="Lire un type de message"),
        text=Wording(
            en="With its JSON Schema 2020-12 in one self-contained document, and its terms.",
            fr="Avec son schéma JSON 2020-12 en un seul document, et ses conditions.",
        ),
        parts=MappingProxyType({"name": NAME, "version": VERSION}),
        answer_schema="Type",
        problems=(404,),
    ),
    Operation(
        name="get_agreement",
        method="GET",
        path="/v1/agreement",
        group="catalogue",
        title=Wording(en="Read the agreement", fr="Lire l'accord"),
        text=Wording(
            en="Nations, agencies, precedences, markings and their equivalence, defaults of drafts.",
            fr="Nations, services, précédences, mentions et équivalences, valeurs par défaut.",
        ),
        answer_schema="Agreement",
    ),
    Operation(
        name="whoami",
        method="GET",
        path="/v1/whoami",
        group="catalogue",
        title=Wording(en="Who am I?", fr="Qui suis-je ?"),
        text=Wording(
            en="The agency of the certificate, and the types that it may send, with addressees.",
            fr="Le service du certificat, et les types qu'il peut envoyer, avec leurs destinataires.",
        ),
        answer_schema="WhoAmI",
    ),
    Operation(
        name="get_openapi",
        method="GET",
        path="/openapi.json",
        group="catalogue",
        title=Wording(en="Read this description", fr="Lire cette description"),
        text=Wording(en="OpenAPI 3.1.", fr="OpenAPI 3.1."),
        answer_schema="Document",
    ),
)
"""All of them, in the order of the documentation."""
