"""CX-CONSIGNMENT and CX-POS: places differ, exist on the globe, and are given."""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import (
    GOOD,
    Facts,
    Json,
    PartCheck,
    Pointers,
    Rule,
    part_rule,
)
from gateway.core.message.wording import Wording


@part_rule(
    "CX-CONSIGNMENT",
    82,
    applies_to=("consignment",),
    pointer="…/discharge of the consignment",
    en="A consignment is loaded in one place and discharged in another. Correct load or discharge.",
    fr="Un envoi est chargé à un endroit et déchargé à un autre. Corrigez load ou discharge.",
)
def _goods_go_somewhere_else(consignment: Json, _: str, __: Facts) -> Pointers:
    return GOOD if consignment["load"] != consignment["discharge"] else ("/discharge",)


# A coordinate has at most eight decimals, so as a float it is on the same side of a bound.
_BOUNDS: Final = (("lat", 90), ("lon", 180))


def is_on_the_globe(place: Json) -> bool:
    """Tell whether the coordinates that a place or position has exist."""
    return not _impossible_coordinates(place)


def _impossible_coordinates(place: Json) -> list[str]:
    return [name for name, bound in _BOUNDS if name in place and abs(float(place[name])) > bound]


def _coordinates_exist(place: Json, _: str, __: Facts) -> Pointers:
    return [f"/{name}" for name in _impossible_coordinates(place)]


def _place_is_given(location: Json, _: str, __: Facts) -> Pointers:
    return GOOD if "unlocode" in location or ("lat" in location and "lon" in location) else ("",)


_places_exist = Rule(
    id="CX-POS",
    number=83,
    pointer="the lat or lon field; the Location object when the place is missing",
    applies_to=("location", "position"),
    wording=Wording(
        en="A place is given by its UN/LOCODE or by latitude and longitude; latitudes lie between -90 and "
        "90, longitudes between -180 and 180. Add the place or correct the coordinates.",
        fr="Un lieu est donné par son code UN/LOCODE ou par latitude et longitude ; les latitudes vont de "
        "-90 à 90, les longitudes de -180 à 180. Ajoutez le lieu ou corrigez les coordonnées.",
    ),
    part_checks=(
        PartCheck(part="location", function=_coordinates_exist),
        PartCheck(part="position", function=_coordinates_exist),
        # In a list a place may be known by its name alone.
        PartCheck(part="location", function=_place_is_given, held="alone"),
    ),
)

RULES: Final[tuple[Rule, ...]] = (_goods_go_somewhere_else, _places_exist)
