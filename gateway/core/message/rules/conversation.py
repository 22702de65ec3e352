"""RF-*: what a message owes to the messages before it.

Here stands what these rules say. The functions are in `gateway.core.message.threads`,
because they need what a node has sent and accepted.
"""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import Rule, Stage
from gateway.core.message.wording import Wording

_REPLIES: Final = ("reply types",)

_nothing_comes_twice = Rule(
    id="RF-DUP",
    number=113,
    pointer="/header/message_id",
    stage=Stage.STATEFUL,
    wording=Wording(
        en="A message id is used once. Draw a new id for a new message; one that was accepted needs no "
        "repeat.",
        fr="Un identifiant de message ne sert qu'une fois. Tirez-en un nouveau pour un nouveau message ; un "
        "message accepté n'a pas à être répété.",
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
    pointer="/header/conversation/in_reply_to",
    applies_to=_REPLIES,
    stage=Stage.STATEFUL,
    wording=Wording(
        en="A reply answers a message that this node holds and that is still open. Check the id, or open a "
        "new conversation if that message was closed.",
        fr="Une réponse répond à un message que ce nœud détient et qui est encore ouvert. Vérifiez "
        "l'identifiant, ou ouvrez une nouvelle conversation si ce message est clos.",
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

RULES: Final[tuple[Rule, ...]] = (
    _nothing_comes_twice,
    _numbers_have_no_gap,
    _request_is_open,
    _request_has_a_fitting_type,
    _reply_stays_in_its_conversation,
    _who_was_asked_answers,
)
