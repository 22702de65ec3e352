"""The protection banner of a message, drawn for a reader from its marking.

A banner that was sent as text could say something else than the fields that rules are held
against. So none is ever sent: whoever shows a message to a person draws it here. It is in
the words of its originator's policy, as on paper, and the agreed equivalent tells a reader
of the other nation what it means at home.

Spec: docs/spec/messages.md, "Banners".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_AMERICAN: Final = "US"
_CUI: Final = "CUI"
_WITHOUT_RELEASE_LIST: Final = frozenset({"NON_PROTEGE", "UNCLASSIFIED"})
"""Levels that protect nothing, so nobody has to be named as allowed."""

_ACCENTED: Final = {
    "NON_PROTEGE": "NON PROTÉGÉ",
    "TRES_SECRET": "TRÈS SECRET",
    "SPECIAL_FRANCE": "SPÉCIAL FRANCE",
}
_THIRD_PARTY_RULE: Final = "THIRD_PARTY_RULE"
_THIRD_PARTY_RULE_FR: Final = "RÈGLE DU TIERS SERVICE"


def banner(marking: Mapping[str, Any]) -> str:
    """Return the banner of a marking, in the words of its originator's policy.

    American: level, categories and dissemination controls between double slashes, each group
    in the order of the CUI registry: ``CUI//SP-INV/LEI//REL TO USA, FRA``. French: level,
    release list and restrictions: ``DIFFUSION RESTREINTE – COMMUNICABLE À FRA, USA``.

    Args:
        marking: ``marking`` of a message that its schema accepts, from the header or from
            a change of terms.
    """
    return _american(marking) if marking["policy"] == _AMERICAN else _french(marking)


def equivalent(marking: Mapping[str, Any]) -> str:
    """Return the level that the marking equals in the other nation's policy, in its words."""
    return _words(marking["alternative"]["level"])


def _american(marking: Mapping[str, Any]) -> str:
    parts = [_words(marking["level"])]
    if marking["level"] == _CUI and marking.get("cui_categories"):
        parts.append("/".join(sorted(marking["cui_categories"], key=_registry_order)))
    caveats = marking.get("caveats", ())
    controls = sorted(_words(caveat) for caveat in caveats if caveat != _THIRD_PARTY_RULE)
    if marking["level"] not in _WITHOUT_RELEASE_LIST:
        # The list begins with USA, then goes by the alphabet, whatever order was sent.
        nations = sorted(marking["releasable_to"], key=lambda nation: (nation != "USA", nation))
        controls.append("REL TO " + ", ".join(nations))
    if controls:
        parts.append("/".join(controls))
    if _THIRD_PARTY_RULE in caveats:
        # No control of the registry: it stands apart from those that are.
        parts.append(_words(_THIRD_PARTY_RULE))
    return "//".join(parts + _indicator_labels(marking))


def _french(marking: Mapping[str, Any]) -> str:
    parts = [_words(marking["level"])]
    if marking["level"] not in _WITHOUT_RELEASE_LIST:
        parts.append("COMMUNICABLE À " + ", ".join(marking["releasable_to"]))
    parts += [
        _THIRD_PARTY_RULE_FR if caveat == _THIRD_PARTY_RULE else _words(caveat)
        for caveat in marking.get("caveats", ())
    ]
    return " – ".join(parts + _indicator_labels(marking))


def _registry_order(category: str) -> tuple[bool, str]:
    """Order specified categories before basic ones, each by the alphabet."""
    return not category.startswith("SP-"), category


def _indicator_labels(marking: Mapping[str, Any]) -> list[str]:
    """Return the labels of technical indicators, which stand beside a marking and replace none."""
    return [f"{name.upper()}:{marking[name]}" for name in ("tlp", "pap") if name in marking]


def _words(code: str) -> str:
    """Return a code as it is written on paper."""
    return _ACCENTED.get(code, code.replace("_", " "))
