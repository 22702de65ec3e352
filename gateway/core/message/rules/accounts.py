"""CX-ACCOUNT: an account has the fields of its kind."""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import GOOD, Facts, Json, PartCheck, Pointers, Rule
from gateway.core.message.wording import Wording

_FIELDS_BY_KIND: Final = {
    "IBAN": {"iban"},
    "US_BANK": {"routing", "account_masked"},
    "CRYPTO": {"chain", "address"},
    "PAYMENT_APP": {"provider"},
}


def has_fields_of_its_kind(account: Json) -> bool:
    """Tell whether an Account holds what its kind demands. Further fields do no harm."""
    return account.keys() >= _FIELDS_BY_KIND[account["kind"]]


def _account_is_whole(account: Json, _: str, __: Facts) -> Pointers:
    return GOOD if has_fields_of_its_kind(account) else ("",)


_accounts_are_whole = Rule(
    id="CX-ACCOUNT",
    number=81,
    pointer="…/{i} of the account",
    applies_to=("account",),
    wording=Wording(
        en="An account has the fields of its kind: IBAN iban; US_BANK routing and account_masked; CRYPTO "
        "chain and address; PAYMENT_APP provider. Add what is missing, or correct the kind.",
        fr="Un compte a les champs de sa nature : IBAN iban ; US_BANK routing et account_masked ; CRYPTO "
        "chain et address ; PAYMENT_APP provider. Ajoutez ce qui manque, ou corrigez la nature.",
    ),
    part_checks=(PartCheck(part="account", function=_account_is_whole, held="in a list"),),
)

RULES: Final[tuple[Rule, ...]] = (_accounts_are_whole,)
