"""RF-*, and the CX-* that compare with an earlier message: what a message owes to those before it.

Here stands what these rules say. The functions are in `gateway.core.message.threads`,
because they need what a node has sent and accepted.
"""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import Rule, Stage
from gateway.core.message.wording import Wording

_REPLIES: Final = ("reply types",)
_CHANGES: Final = ("gov.correction/1", "gov.retraction/1", "gov.use_change/1")
_QUESTIONS: Final = ("gov.consent_request/1", "gov.feedback/1")
_ABOUT: Final = (*_CHANGES, "gov.consent_decision/1", *_QUESTIONS)

_nothing_comes_twice = Rule(
    id="RF-DUP",
    number=113,
    pointer="/header/message_id",
    stage=Stage.STATEFUL,
    wording=Wording(
        en="A message id is used once, and a message with this one was accepted before. If it is the one "
        "that you post again, ask for its state, or repeat the post with its first idempotency key. Draw a "
        "new id for a new message.",
        fr="Un identifiant de message ne sert qu'une fois, et un message portant celui-ci a déjà été "
        "accepté. Si c'est celui que vous déposez à nouveau, demandez son état, ou répétez le dépôt avec sa "
        "première clé d'idempotence. Tirez un nouvel identifiant pour un nouveau message.",
    ),
)

_numbers_have_no_gap = Rule(
    id="RF-SEQ",
    number=114,
    pointer="/header/conversation/seq",
    stage=Stage.STATEFUL,
    wording=Wording(
        en="The messages of one agency in one conversation are numbered 1, 2, 3 … without a gap. Leave seq "
        "out of a draft and the node sets it.",
        fr="Les messages d'un service dans une conversation sont numérotés 1, 2, 3 … sans lacune. Omettez "
        "seq dans un projet : le nœud le remplira.",
    ),
)

_request_is_open = Rule(
    id="RF-OPEN",
    number=115,
    pointer="/header/conversation/in_reply_to for a reply; /payload/target or /payload/about for a message "
    "about another",
    applies_to=(*_REPLIES, *_ABOUT),
    stage=Stage.STATEFUL,
    wording=Wording(
        en="A reply answers a message that this node holds and that is still open; a message about another "
        "names one that this node holds. Check the id, or open a new conversation if the message that you "
        "answer was closed.",
        fr="Une réponse répond à un message que ce nœud détient et qui est encore ouvert ; un message qui en "
        "concerne un autre nomme un message que ce nœud détient. Vérifiez l'identifiant, ou ouvrez une "
        "nouvelle conversation si le message auquel vous répondez est clos.",
    ),
)

_request_has_a_fitting_type = Rule(
    id="RF-TYPE",
    number=116,
    pointer="/header/conversation/in_reply_to",
    applies_to=_REPLIES,
    stage=Stage.STATEFUL,
    wording=Wording(
        en="The message that is answered is of a type that this type can answer. Choose the reply type that "
        "the catalogue names for it.",
        fr="Le message auquel on répond est d'un type auquel celui-ci peut répondre. Choisissez le type de "
        "réponse que le catalogue prévoit.",
    ),
    told=lambda terms: Wording(
        en=f"This type answers {', '.join(sorted(terms.reply_to))}.",
        fr=f"Ce type répond à {', '.join(sorted(terms.reply_to))}.",
    ),
)

_reply_stays_in_its_conversation = Rule(
    id="RF-CONV",
    number=117,
    pointer="/header/conversation/id",
    applies_to=_REPLIES,
    stage=Stage.STATEFUL,
    wording=Wording(
        en="A reply belongs to the conversation of the message that it answers. Copy that conversation's id.",
        fr="Une réponse appartient à la conversation du message auquel elle répond. Reprenez l'identifiant "
        "de cette conversation.",
    ),
)

_who_was_asked_answers = Rule(
    id="RF-PARTY",
    number=118,
    pointer="/header/from/agency",
    applies_to=_REPLIES,
    stage=Stage.STATEFUL,
    wording=Wording(
        en="Only an agency that was asked answers, or the one to which it transferred the request. Have "
        "that agency answer, or have the request transferred to yours.",
        fr="Seul répond un service qui a été sollicité, ou celui auquel il a transféré la demande. Faites "
        "répondre ce service, ou faites-vous transférer la demande.",
    ),
)

_own_messages_are_changed = Rule(
    id="RF-OWN",
    number=119,
    pointer="/payload/target, or /header/conversation/in_reply_to for assist.cancel/1",
    applies_to=("assist.cancel/1", *_CHANGES),
    stage=Stage.STATEFUL,
    wording=Wording(
        en="Only the agency that sent a message, or its superior, cancels, corrects or retracts it or "
        "changes its terms. Name a message of your own, or ask the originator.",
        fr="Seul le service qui a émis un message, ou celui dont il dépend, l'annule, le rectifie, le "
        "rétracte ou en change les conditions. Nommez l'un de vos messages, ou demandez à l'originateur.",
    ),
)

_theirs_are_asked_about = Rule(
    id="RF-THEIRS",
    number=120,
    pointer="/payload/target for a consent request, /payload/about for feedback",
    applies_to=_QUESTIONS,
    stage=Stage.STATEFUL,
    wording=Wording(
        en="Consent is asked and feedback given about a message of the other nation that was addressed to "
        "your agency or to one below it. Name such a message.",
        fr="On demande une autorisation ou donne un retour d'expérience sur un message de l'autre nation "
        "adressé à votre service ou à un service qui en dépend. Nommez un tel message.",
    ),
)

_room_is_kept = Rule(
    id="RF-ROOM",
    number=121,
    pointer="/header/operation/room for an unknown or closed room; /type; /header/from/agency; "
    "/header/created_at",
    stage=Stage.STATEFUL,
    wording=Wording(
        en="A message in an operation room names a room that is known and not closed, has a type allowed "
        "there, comes from a member, and is created between the room's begin and end. Correct it, or send "
        "it outside the room.",
        fr="Un message en salle d'opération nomme une salle connue et non close, est d'un type qui y est "
        "admis, vient d'un membre et est créé entre l'ouverture et la fin de la salle. Corrigez-le, ou "
        "envoyez-le hors de la salle.",
    ),
)

_quota_is_kept = Rule(
    id="RF-QUOTA",
    number=123,
    pointer="/type",
    stage=Stage.STATEFUL,
    told=lambda terms: Wording(
        en=f"Of this type it is {terms.daily_limit}.", fr=f"Pour ce type, elle est de {terms.daily_limit}."
    ),
    wording=Wording(
        en="An agency sends no more messages of a type on one UTC day than the terms of the type allow "
        "(daily_limit). Ask only what you need to know, put several values into one message, or wait until "
        "tomorrow.",
        fr="Un service n'envoie pas, en un jour UTC, plus de messages d'un type que ses conditions ne "
        "l'admettent (daily_limit). Ne demandez que le nécessaire, réunissez plusieurs valeurs dans un "
        "message, ou attendez demain.",
    ),
)

_tightening_loosens_nothing = Rule(
    id="CX-USECHANGE",
    number=111,
    pointer="/payload/use/{field}, /payload/delete_by or /payload/effective",
    applies_to=("gov.use_change/1",),
    stage=Stage.STATEFUL,
    wording=Wording(
        en="TIGHTEN allows nothing that the message as first sent did not, and deletes no later; a deletion "
        "is not before the change takes effect. Correct the value or the date, or use RELAX.",
        fr="TIGHTEN n'autorise rien que le message tel qu'émis n'autorisait pas et n'efface pas plus tard ; "
        "l'effacement ne précède pas la prise d'effet. Corrigez la valeur ou la date, ou utilisez RELAX.",
    ),
)

_patches_fit = Rule(
    id="CX-PATCH",
    number=112,
    pointer="/payload/patches/{i}/old, /payload/patches/{i}/path, or /payload/patches when the corrected "
    "message breaks its schema or a rule",
    applies_to=("gov.correction/1",),
    stage=Stage.STATEFUL,
    wording=Wording(
        en="Each patch leads to a place of the target as last corrected, old is the value that stands "
        "there, and the corrected message satisfies its schema and the rules. Compare with the target and "
        "its corrections.",
        fr="Chaque rectification mène à un endroit du message visé tel que rectifié en dernier, old est la "
        "valeur qui s'y trouve, et le message rectifié satisfait à son schéma et aux règles. Comparez avec "
        "ce message et ses rectifications.",
    ),
)

RULES: Final[tuple[Rule, ...]] = (
    _nothing_comes_twice,
    _numbers_have_no_gap,
    _request_is_open,
    _request_has_a_fitting_type,
    _reply_stays_in_its_conversation,
    _who_was_asked_answers,
    _own_messages_are_changed,
    _theirs_are_asked_about,
    _room_is_kept,
    _quota_is_kept,
    _tightening_loosens_nothing,
    _patches_fit,
)
