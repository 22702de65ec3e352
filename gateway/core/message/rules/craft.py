"""CX-VESSEL, CX-TRACK, CX-BOARD, CX-BOARDDEC: vessels and aircraft, watched and boarded."""

from __future__ import annotations

from itertools import pairwise
from math import asin, cos, radians, sin, sqrt
from typing import Final

from gateway.core.message.instants import HOUR_MS, instant_ms
from gateway.core.message.rules.definition import GOOD, Facts, Json, Pointers, Rule, Stage, message_rule
from gateway.core.message.rules.places import is_on_the_globe

_AT_SEA: Final = frozenset({"VESSEL", "SMALL_CRAFT", "SEMI_SUBMERSIBLE"})
_IN_THE_AIR: Final = frozenset({"AIRCRAFT", "DRONE"})
_FIELD_BY_TYPE: Final = {
    "marine.vessel_alert/1": "vessel",
    "marine.boarding_request/1": "vessel",
    "marine.track_report/1": "target",
    "air.aircraft_alert/1": "aircraft",
}
_KINDS_BY_FIELD: Final = {"vessel": _AT_SEA, "aircraft": _IN_THE_AIR}
"""Kinds of craft that a field may hold; a target may be of any kind."""

_TELLS_A_VESSEL: Final = ("imo", "mmsi", "name", "description")


@message_rule(
    "CX-VESSEL",
    100,
    pointer="/payload/vessel, /payload/target or /payload/aircraft; with /kind for the kind",
    applies_to=tuple(_FIELD_BY_TYPE),
    en="A vessel can be told from others: it has an IMO number, an MMSI, a name or a description. As vessel "
    "stands a VESSEL, SMALL_CRAFT or SEMI_SUBMERSIBLE, as aircraft an AIRCRAFT or DRONE. Add what is known, "
    "or correct the kind.",
    fr="Un navire se distingue des autres : il a un numéro OMI, un MMSI, un nom ou une description. Le champ "
    "vessel porte VESSEL, SMALL_CRAFT ou SEMI_SUBMERSIBLE, le champ aircraft AIRCRAFT ou DRONE. Ajoutez ce "
    "qui est connu, ou corrigez la nature.",
)
def _craft_is_told_and_of_the_right_kind(facts: Facts) -> Pointers:
    field = _FIELD_BY_TYPE[facts.type_id]
    craft = facts.payload[field]
    kind = craft["kind"]
    pointers = []
    if kind == "VESSEL" and not any(name in craft for name in _TELLS_A_VESSEL):
        pointers.append(f"/payload/{field}")
    kinds = _KINDS_BY_FIELD.get(field)
    if kinds is not None and kind not in kinds:
        pointers.append(f"/payload/{field}/kind")
    return pointers


_EARTH_RADIUS_NM: Final = 3440.065
_FASTEST_KN: Final = 120
_FASTEST_IN_THE_AIR_KN: Final = 1200


def _distance_nm(one: Json, other: Json) -> float:
    """Return the great-circle distance between two positions on the globe, in nautical miles."""
    lat, other_lat = radians(float(one["lat"])), radians(float(other["lat"]))
    across = sin((radians(float(other["lon"])) - radians(float(one["lon"]))) / 2)
    along = sin((other_lat - lat) / 2)
    haversine = along * along + cos(lat) * cos(other_lat) * across * across
    # Rounding may lift antipodes a little above 1, where asin ends.
    return 2 * _EARTH_RADIUS_NM * asin(min(1.0, sqrt(haversine)))


@message_rule(
    "CX-TRACK",
    101,
    pointer="/payload/positions/{i}/at for the order, /payload/positions/{i} for the speed; {i} is the later "
    "position",
    applies_to=("marine.track_report/1",),
    en="Positions follow one another in time, at a speed that the craft can reach: 1,200 knots in the air, "
    "120 knots otherwise. Sort them, or correct the time or the coordinates.",
    fr="Les positions se suivent dans le temps, à une vitesse que la cible peut atteindre : 1 200 nœuds en "
    "vol, 120 nœuds sinon. Triez-les, ou corrigez l'heure ou les coordonnées.",
)
def _track_is_possible(facts: Facts) -> Pointers:
    payload = facts.payload
    fastest_kn = _FASTEST_IN_THE_AIR_KN if payload["target"]["kind"] in _IN_THE_AIR else _FASTEST_KN
    pointers = []
    for i, (earlier, later) in enumerate(pairwise(payload["positions"]), start=1):
        passed_ms = instant_ms(later["at"]) - instant_ms(earlier["at"])
        if passed_ms <= 0:
            pointers.append(f"/payload/positions/{i}/at")
        # CX-POS reports what is not on the globe; there is no way to it.
        elif is_on_the_globe(earlier) and is_on_the_globe(later):
            speed_kn = _distance_nm(earlier, later) * HOUR_MS / passed_ms
            if speed_kn > fastest_kn:
                pointers.append(f"/payload/positions/{i}")
    return pointers


@message_rule(
    "CX-BOARD",
    102,
    pointer="/payload/vessel/flag, or /payload/planned_at",
    applies_to=("marine.boarding_request/1",),
    en="Consent to a boarding is asked of another state: under FLAG_CONSENT the flag is not the sending "
    "nation's. The boarding is planned later than the position. Correct the flag, the basis or the time.",
    fr="L'accord pour un arraisonnement se demande à un autre État : avec FLAG_CONSENT, le pavillon n'est "
    "pas celui de la nation émettrice. L'arraisonnement est prévu après la position. Corrigez le pavillon, "
    "le fondement ou l'heure.",
)
def _another_state_is_asked_for_what_is_ahead(facts: Facts) -> Pointers:
    payload = facts.payload
    pointers = []
    if payload["basis"] == "FLAG_CONSENT" and payload["vessel"].get("flag") == facts.nation:
        pointers.append("/payload/vessel/flag")
    if instant_ms(payload["planned_at"]) <= instant_ms(payload["position"]["at"]):
        pointers.append("/payload/planned_at")
    return pointers


@message_rule(
    "CX-BOARDDEC",
    103,
    pointer="/payload/steps, /payload/valid_until or /payload/conditions",
    applies_to=("marine.boarding_decision/1",),
    stage=Stage.BOTH,
    en="A decision authorises only steps that were asked for; a consent says until when it is valid, later "
    "than created_at, and a consent with conditions says which. Remove the other steps, or add what is "
    "missing.",
    fr="Une décision n'autorise que des mesures demandées ; un accord dit jusqu'à quand il vaut, au-delà de "
    "created_at, et un accord sous conditions dit lesquelles. Retirez les autres mesures, ou ajoutez ce qui "
    "manque.",
)
def _consent_says_until_when_and_how(facts: Facts) -> Pointers:
    payload = facts.payload
    decision = payload["decision"]
    if decision not in ("CONSENT", "CONSENT_WITH_CONDITIONS"):
        return GOOD
    pointers = []
    valid_until = payload.get("valid_until")
    if valid_until is None or instant_ms(valid_until) <= facts.created_ms:
        pointers.append("/payload/valid_until")
    if decision == "CONSENT_WITH_CONDITIONS" and not payload.get("conditions"):
        pointers.append("/payload/conditions")
    return pointers


RULES: Final[tuple[Rule, ...]] = (
    _craft_is_told_and_of_the_right_kind,
    _track_is_possible,
    _another_state_is_asked_for_what_is_ahead,
    _consent_says_until_when_and_how,
)
