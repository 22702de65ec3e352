"""H-*: who writes to whom, when, and in which conversation."""

from __future__ import annotations

from typing import Final

from gateway.core.message.instants import DAY_MS, MINUTE_MS, instant_ms
from gateway.core.message.rules.definition import (
    GOOD,
    Facts,
    Pointers,
    Rule,
    Stage,
    frame_rule,
    message_rule,
)
from gateway.core.message.rules.frame import Frame
from gateway.core.message.terms import TypeTerms
from gateway.core.message.wording import Wording

_MAX_CLOCK_SKEW_MS: Final = 5 * MINUTE_MS
_MAX_LIFE_MS: Final = 30 * DAY_MS


@message_rule(
    "H-01",
    3,
    pointer="/header/message_id",
    en="The time inside message_id (UUIDv7) and created_at differ by at most 5 minutes. Draw the id when "
    "the message is created, or leave both out and let the node set them.",
    fr="L'heure contenue dans message_id (UUIDv7) et created_at diffèrent de 5 minutes au plus. Tirez "
    "l'identifiant à la création du message, ou omettez les deux : le nœud les remplira.",
)
def _id_was_drawn_at_creation(facts: Facts) -> Pointers:
    message_id = facts.header["message_id"]
    # The first 48 bits of a UUIDv7 are its time; the hyphen stands after the eighth digit.
    drawn_ms = int(message_id[:8] + message_id[9:13], 16)
    return GOOD if abs(drawn_ms - facts.created_ms) <= _MAX_CLOCK_SKEW_MS else ("/header/message_id",)


def _has_good_life(facts: Facts) -> bool:
    return 0 < facts.expires_ms - facts.created_ms <= _MAX_LIFE_MS


@message_rule(
    "H-02",
    4,
    pointer="/header/expires_at",
    en="expires_at is later than created_at, by 30 days at most. Choose a date in that range or leave it "
    "out.",
    fr="expires_at est postérieur à created_at, de 30 jours au plus. Choisissez une date dans cet "
    "intervalle ou omettez le champ.",
)
def _life_is_at_most_thirty_days(facts: Facts) -> Pointers:
    return GOOD if _has_good_life(facts) else ("/header/expires_at",)


def _strangers(frame: Frame) -> list[str]:
    """Return the pointers of H-03, which H-04 needs as well."""
    nation = frame.nation
    pointers = []
    if not frame.agency.startswith(nation + "."):
        pointers.append("/header/from/agency")
    if not frame.pseudonym.startswith(nation.lower() + "-"):
        pointers.append("/header/from/officer_ref")
    for i, addressee in enumerate(frame.to):
        other = addressee["nation"]
        if other == nation or not addressee["agency"].startswith(other + "."):
            pointers.append(f"/header/to/{i}")
    return pointers


@frame_rule(
    "H-03",
    5,
    pointer="/header/from/agency, /header/from/officer_ref, or /header/to/{i} for the bad addressee",
    en="The sending agency and the officer's pseudonym belong to the sending nation, and every addressee is "
    "an agency of the other nation. Correct the agency, the pseudonym or the addressee.",
    fr="Le service émetteur et le pseudonyme de l'agent relèvent de la nation émettrice, et chaque "
    "destinataire est un service de l'autre nation. Corrigez le service, le pseudonyme ou le destinataire.",
)
def _everyone_is_on_the_right_side(frame: Frame) -> Pointers:
    return _strangers(frame)


def _agencies(terms: TypeTerms) -> Wording:
    sides = [(nation, ", ".join(sorted(agencies))) for nation, agencies in sorted(terms.agencies.items())]
    return Wording(
        en=f"This type is exchanged by {'; '.join(f'{nation}: {names}' for nation, names in sides)}.",
        fr=f"Ce type s'échange entre {' ; '.join(f'{nation} : {names}' for nation, names in sides)}.",
    )


@frame_rule(
    "H-04",
    6,
    pointer="/header",
    told=_agencies,
    en="The agreement lets this agency send this type to these addressees. Look up who may exchange the "
    "type and address one of them, or have an agency that may send it do so.",
    fr="L'accord permet à ce service d'envoyer ce type à ces destinataires. Consultez la liste des services "
    "admis pour ce type et adressez-vous à l'un d'eux, ou faites envoyer le message par un service habilité.",
)
def _agencies_may_exchange_this_type(frame: Frame) -> Pointers:
    agencies = frame.terms.agencies
    is_allowed = frame.agency in agencies.get(frame.nation, ())
    for addressee in frame.to:
        nation = addressee["nation"]
        if nation == frame.nation or addressee["agency"] not in agencies.get(nation, ()):
            is_allowed = False
    return GOOD if is_allowed or _strangers(frame) else ("/header",)


@frame_rule(
    "H-05",
    7,
    pointer="/header/conversation",
    en="A reply names in in_reply_to the message that it answers; a type that opens a conversation has no "
    "in_reply_to. Add the id of the message you answer, or remove the field.",
    fr="Une réponse indique dans in_reply_to le message auquel elle répond ; un type qui ouvre une "
    "conversation n'a pas de in_reply_to. Ajoutez l'identifiant du message auquel vous répondez, ou retirez "
    "le champ.",
)
def _replies_and_only_replies_name_a_message(frame: Frame) -> Pointers:
    terms = frame.terms
    if frame.is_linked:
        return GOOD if terms.reply_to or terms.threads else ("/header/conversation",)
    # A type that answers itself (a deconfliction notice, say) may also open a conversation.
    is_opener = not terms.reply_to or frame.type_id in terms.reply_to
    return GOOD if is_opener else ("/header/conversation",)


@frame_rule(
    "H-06",
    8,
    pointer="/header/conversation/pattern",
    only_if=lambda terms: not terms.reply_to,
    en="A message that opens a conversation has the pattern of its type. Set the pattern that the catalogue "
    "gives, or leave it out.",
    fr="Un message qui ouvre une conversation porte le schéma d'échange (pattern) de son type. Indiquez "
    "celui du catalogue, ou omettez-le.",
)
def _pattern_fits_the_type(frame: Frame) -> Pointers:
    if frame.pattern == frame.terms.pattern or frame.is_linked or frame.is_in_room:
        return GOOD
    return ("/header/conversation/pattern",)


@message_rule(
    "H-07",
    9,
    pointer="/header/reply_by",
    only_if=lambda terms: terms.awaits,
    en="A type that awaits an answer carries reply_by, later than created_at. Say until when you need the "
    "answer.",
    fr="Un type qui attend une réponse porte reply_by, postérieur à created_at. Indiquez pour quand la "
    "réponse est attendue.",
)
def _awaited_answers_have_a_deadline(facts: Facts) -> Pointers:
    if facts.terms.reply_to and "in_reply_to" in facts.conversation:
        return GOOD
    reply_by = facts.header.get("reply_by")
    if reply_by is not None and instant_ms(reply_by) > facts.created_ms:
        return GOOD
    return ("/header/reply_by",)


@frame_rule(
    "H-08",
    10,
    pointer="/header/precedence",
    stage=Stage.BOTH,
    only_if=lambda terms: not terms.flash,
    en="FLASH is kept for the types that allow it and for replies to a FLASH message. Use IMMEDIATE, or "
    "send the alert type made for it.",
    fr="FLASH est réservé aux types qui l'admettent et aux réponses à un message FLASH. Utilisez IMMEDIATE, "
    "ou le type d'alerte prévu à cet effet.",
)
def _flash_is_allowed(frame: Frame) -> Pointers:
    if frame.precedence != "FLASH":
        return GOOD
    # Whether the message that is answered was FLASH is for the conversation's rules to see.
    is_reply = frame.terms.reply_to and frame.is_linked
    return GOOD if is_reply else ("/header/precedence",)


@message_rule(
    "H-09",
    11,
    pointer="/header/created_at",
    en="created_at is at most 5 minutes ahead of the node's clock. Set your system's clock, or leave "
    "created_at out.",
    fr="created_at n'a pas plus de 5 minutes d'avance sur l'horloge du nœud. Réglez l'horloge de votre "
    "système, ou omettez created_at.",
)
def _creation_is_not_ahead(facts: Facts) -> Pointers:
    return GOOD if facts.created_ms <= facts.now_ms + _MAX_CLOCK_SKEW_MS else ("/header/created_at",)


@message_rule(
    "H-10",
    12,
    pointer="/header/expires_at",
    en="expires_at has not passed yet. Send the message anew with a later expires_at.",
    fr="expires_at n'est pas encore passé. Renvoyez le message avec un expires_at ultérieur.",
)
def _message_has_not_expired(facts: Facts) -> Pointers:
    if facts.now_ms <= facts.expires_ms or not _has_good_life(facts):
        return GOOD
    return ("/header/expires_at",)


RULES: Final[tuple[Rule, ...]] = (
    _id_was_drawn_at_creation,
    _life_is_at_most_thirty_days,
    _everyone_is_on_the_right_side,
    _agencies_may_exchange_this_type,
    _replies_and_only_replies_name_a_message,
    _pattern_fits_the_type,
    _awaited_answers_have_a_deadline,
    _flash_is_allowed,
    _creation_is_not_ahead,
    _message_has_not_expired,
)
