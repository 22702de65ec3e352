"""What a receiving node can say about a message: the table of exceptions.

A receipt without exceptions means *received*. An exception is a number from this table,
with the number of the broken rule where there is one; nodes never exchange free text.
Each node turns the numbers into words, in the reader's language.

Spec: docs/spec/exchange.md, "Exceptions".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.core.states import State


class ExceptionCode(IntEnum):
    """Why one message of a bundle was not received; the numbers travel in receipts."""

    WRONG_RECIPIENT = 1
    UNKNOWN_SUITE = 2
    KEM_KEY_GONE = 3
    EXPIRED = 4
    DUPLICATE = 5
    TYPE_NOT_AGREED = 6
    DIGEST_MISMATCH = 7
    BOX_INVALID = 8
    CONTENT_INVALID = 9
    JSON = 10
    SCHEMA = 11
    RULE = 12
    HEADER_MISMATCH = 13
    CONTENT_LOST = 14
    HELD_TOO_LONG = 15
    ERASED = 16
    UNEXAMINED = 17

    @property
    def label(self) -> str:
        """Return the stable code that API, logs and documentation share."""
        return self.name.lower().replace("_", "-")


SEND_AGAIN: Final = frozenset(
    {ExceptionCode.KEM_KEY_GONE, ExceptionCode.CONTENT_LOST, ExceptionCode.HELD_TOO_LONG}
)
"""After these the message goes back to *accepted*: same content, new box, new entry."""

MAX_SENDINGS: Final = 4
"""The first sending and at most three repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionText:
    """An exception in words: what it means and who acts next."""

    meaning_en: str
    meaning_fr: str
    next_en: str
    next_fr: str

    def meaning(self, language: str) -> str:
        """Return the meaning in French for ``fr``, else in English."""
        return self.meaning_fr if language == "fr" else self.meaning_en

    def next_step(self, language: str) -> str:
        """Return the next step in French for ``fr``, else in English."""
        return self.next_fr if language == "fr" else self.next_en


_OPERATORS_EN = "The operators of both nodes have to look at it; tell yours."
_OPERATORS_FR = "Les exploitants des deux nœuds doivent intervenir ; prévenez le vôtre."
_CORRECT_EN = "Correct the message and send it as a new one."
_CORRECT_FR = "Corrigez le message et envoyez-le comme un nouveau message."
_WAIT_EN = "Nothing to do: your node sends it again by itself, three times at most."
_WAIT_FR = "Rien à faire : votre nœud le renvoie lui-même, trois fois au plus."

EXCEPTION_TEXTS: Final = {
    ExceptionCode.WRONG_RECIPIENT: ExceptionText(
        meaning_en="The message names another node or an agency of another nation as recipient.",
        meaning_fr="Le message désigne un autre nœud ou un service d'une autre nation.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
    ExceptionCode.UNKNOWN_SUITE: ExceptionText(
        meaning_en="The partner node does not know the cryptographic suite of the message.",
        meaning_fr="Le nœud partenaire ne connaît pas la suite cryptographique du message.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
    ExceptionCode.KEM_KEY_GONE: ExceptionText(
        meaning_en="The partner node has destroyed the key that the message was sealed for.",
        meaning_fr="Le nœud partenaire a détruit la clé pour laquelle le message était scellé.",
        next_en=_WAIT_EN,
        next_fr=_WAIT_FR,
    ),
    ExceptionCode.EXPIRED: ExceptionText(
        meaning_en="The message arrived after its delivery time.",
        meaning_fr="Le message est arrivé après son délai de remise.",
        next_en="Send it as a new message if it is still needed.",
        next_fr="Renvoyez-le comme un nouveau message s'il est encore utile.",
    ),
    ExceptionCode.DUPLICATE: ExceptionText(
        meaning_en="The partner node had already received a message with this id.",
        meaning_fr="Le nœud partenaire avait déjà reçu un message portant cet identifiant.",
        next_en="Nothing to do if the first one was received; else send it with a new id.",
        next_fr="Rien à faire si le premier a été reçu ; sinon, renvoyez-le avec un nouvel identifiant.",
    ),
    ExceptionCode.TYPE_NOT_AGREED: ExceptionText(
        meaning_en="The two nodes do not hold the same version of this message type.",
        meaning_fr="Les deux nœuds n'ont pas la même version de ce type de message.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
    ExceptionCode.DIGEST_MISMATCH: ExceptionText(
        meaning_en="What arrived is not what the sender's log names.",
        meaning_fr="Ce qui est arrivé n'est pas ce que nomme le journal de l'expéditeur.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
    ExceptionCode.BOX_INVALID: ExceptionText(
        meaning_en="The key box could not be opened.",
        meaning_fr="La boîte de clés n'a pas pu être ouverte.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
    ExceptionCode.CONTENT_INVALID: ExceptionText(
        meaning_en="The content could not be opened with the key it came with.",
        meaning_fr="Le contenu n'a pas pu être ouvert avec la clé qui l'accompagne.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
    ExceptionCode.JSON: ExceptionText(
        meaning_en="The content is not strict JSON.",
        meaning_fr="Le contenu n'est pas du JSON strict.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
    ExceptionCode.SCHEMA: ExceptionText(
        meaning_en="The message does not satisfy the schema of its type at the partner node.",
        meaning_fr="Le message ne respecte pas le schéma de son type au nœud partenaire.",
        next_en=_CORRECT_EN,
        next_fr=_CORRECT_FR,
    ),
    ExceptionCode.RULE: ExceptionText(
        meaning_en="The message breaks a rule at the partner node.",
        meaning_fr="Le message enfreint une règle au nœud partenaire.",
        next_en=_CORRECT_EN,
        next_fr=_CORRECT_FR,
    ),
    ExceptionCode.HEADER_MISMATCH: ExceptionText(
        meaning_en="The header in the log does not say what the message says.",
        meaning_fr="L'en-tête inscrit au journal ne dit pas ce que dit le message.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
    ExceptionCode.CONTENT_LOST: ExceptionText(
        meaning_en="The partner node did not get the content or its key.",
        meaning_fr="Le nœud partenaire n'a pas reçu le contenu ou sa clé.",
        next_en=_WAIT_EN,
        next_fr=_WAIT_FR,
    ),
    ExceptionCode.HELD_TOO_LONG: ExceptionText(
        meaning_en="The partner node could not process the message in time.",
        meaning_fr="Le nœud partenaire n'a pas pu traiter le message à temps.",
        next_en=_WAIT_EN,
        next_fr=_WAIT_FR,
    ),
    ExceptionCode.ERASED: ExceptionText(
        meaning_en="The content was erased before it was delivered.",
        meaning_fr="Le contenu a été effacé avant d'être remis.",
        next_en="Nothing to do.",
        next_fr="Rien à faire.",
    ),
    ExceptionCode.UNEXAMINED: ExceptionText(
        meaning_en="The partner node failed at examining the message; the fault is in its program.",
        meaning_fr="Le nœud partenaire a échoué à examiner le message ; l'erreur est dans son programme.",
        next_en=_OPERATORS_EN,
        next_fr=_OPERATORS_FR,
    ),
}


_UNKNOWN_TEXT: Final = ExceptionText(
    meaning_en="The partner node gives a reason that this node has no words for yet.",
    meaning_fr="Le nœud partenaire donne un motif que ce nœud ne sait pas encore nommer.",
    next_en=_OPERATORS_EN,
    next_fr=_OPERATORS_FR,
)


def exception_label(code: int) -> str:
    """Return the stable code of an exception; one of a later version gets its number."""
    known = {int(item): item.label for item in ExceptionCode}
    return known.get(code, f"exception-{code}")


def exception_text(code: int) -> ExceptionText:
    """Return an exception in words; one of a later version is said to be unknown here."""
    texts: dict[int, ExceptionText] = {int(item): text for item, text in EXCEPTION_TEXTS.items()}
    return texts.get(code, _UNKNOWN_TEXT)


def state_after(code: ExceptionCode, *, sendings: int) -> State:
    """Return the state of a message after an exception.

    Args:
        code: What the receipt says.
        sendings: How often the message was sent so far, 1 or more.
    """
    if code in SEND_AGAIN and sendings < MAX_SENDINGS:
        return State.ACCEPTED
    if code is ExceptionCode.EXPIRED:
        return State.EXPIRED
    if code is ExceptionCode.ERASED:
        return State.ERASED
    return State.REFUSED
