"""CX-TOKENS, CX-KEYDAY, CX-RESULTS: pseudonymised matching, asked and answered.

Tokens are compared by key and index, so a query names each index once and the key of its
day, and a result says of each index one thing. Whether a result fits its query is in
`gateway.core.message.threads`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.core.message.instants import DAY_MS, instant_ms
from gateway.core.message.rules.definition import GOOD, Facts, Json, Pointers, Rule, Stage, message_rule

_LONGEST_FOLLOW_UP_MS: Final = 30 * DAY_MS

_KEY_DAY: Final = slice(len("mk-"), len("mk-YYYYMMDD"))


def _is_index_repeated(entries: Sequence[Json]) -> bool:
    return len({entry["idx"] for entry in entries}) < len(entries)


@message_rule(
    "CX-TOKENS",
    89,
    pointer="/payload/tokens",
    applies_to=("match.query/1",),
    en="Each token of a query has an index (idx) of its own, to which the result refers. Number the tokens "
    "0, 1, 2 and so on.",
    fr="Chaque jeton d'une recherche a son propre indice (idx), auquel le résultat renvoie. Numérotez les "
    "jetons 0, 1, 2 et ainsi de suite.",
)
def _each_token_has_its_index(facts: Facts) -> Pointers:
    return ("/payload/tokens",) if _is_index_repeated(facts.payload["tokens"]) else GOOD


@message_rule(
    "CX-KEYDAY",
    90,
    pointer="/payload/key_id",
    applies_to=("match.query/1",),
    en="Keyed tokens are made with the key of the day on which the message is created, in UTC, and key_id "
    "names it: mk-, that day as YYYYMMDD, a hyphen and two letters. Make the tokens anew with the key of "
    "today.",
    fr="Les jetons à clé sont calculés avec la clé du jour de création du message, en UTC, et key_id la "
    "nomme : mk-, ce jour sous la forme AAAAMMJJ, un tiret et deux lettres. Recalculez les jetons avec la "
    "clé du jour.",
)
def _key_is_that_of_the_day(facts: Facts) -> Pointers:
    payload = facts.payload
    if payload["method"] != "HMAC_SHA256_DAILY":
        return GOOD
    # created_at is UTC, so its text begins with the UTC day.
    today = facts.header["created_at"][: len("YYYY-MM-DD")].replace("-", "")
    return GOOD if payload.get("key_id", "")[_KEY_DAY] == today else ("/payload/key_id",)


@message_rule(
    "CX-RESULTS",
    91,
    pointer="/payload/follow_up_by or /payload/results",
    applies_to=("match.result/1",),
    stage=Stage.BOTH,
    en="There is one result for each token of the query, and a hit says until when a request may follow "
    "(follow_up_by, later than created_at, by 30 days at most) and whom to ask (contact_unit). Correct the "
    "indexes (idx), or add what is missing.",
    fr="Il y a un résultat pour chaque jeton de la recherche, et une concordance dit jusqu'à quand la "
    "demande peut suivre (follow_up_by, postérieur à created_at, de 30 jours au plus) et à qui l'adresser "
    "(contact_unit). Corrigez les indices (idx), ou ajoutez ce qui manque.",
)
def _hit_can_be_followed_up(facts: Facts) -> Pointers:
    payload = facts.payload
    follow_up_by = payload.get("follow_up_by")
    has_hit = any(result["outcome"] == "HIT" for result in payload["results"])
    pointers = []
    if (has_hit and (follow_up_by is None or "contact_unit" not in payload)) or (
        follow_up_by is not None
        and not 0 < instant_ms(follow_up_by) - facts.created_ms <= _LONGEST_FOLLOW_UP_MS
    ):
        pointers.append("/payload/follow_up_by")
    if _is_index_repeated(payload["results"]):
        pointers.append("/payload/results")
    return pointers


RULES: Final[tuple[Rule, ...]] = (
    _each_token_has_its_index,
    _key_is_that_of_the_day,
    _hit_can_be_followed_up,
)
