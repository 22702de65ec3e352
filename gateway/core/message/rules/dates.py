"""CX-DATES and its like: what is reported is past, what is asked is ahead, ends follow starts."""

from __future__ import annotations

from typing import Final

from gateway.core.message.instants import day_of_date, instant_ms, sortable
from gateway.core.message.rules.definition import (
    GOOD,
    Facts,
    Json,
    PartCheck,
    Pointers,
    Rule,
    message_rule,
)
from gateway.core.message.wording import Wording

_PAIRS: Final = {
    "observed_to": "observed_from",
    "period_to": "period_from",
    "window_to": "window_from",
    "valid_to": "valid_from",
    "to": "from",
    "ends_at": "starts_at",
    "ended_at": "started_at",
    "off_station": "on_station",
    "re_export_by": "entry_on",
    "next_due": "as_of",
    "answer_due": "received_on",
}
"""Start of a period by the field that holds its end."""

_ENDS: Final = frozenset(_PAIRS)

_STRICT: Final = frozenset(
    {
        ("inspect.result/1", "ended_at"),
        ("invest.controlled_delivery_request/1", "window_to"),
        ("ops.asset_request/1", "to"),
        ("ops.asset_response/1", "off_station"),
        ("ops.sitrep/1", "next_due"),
        ("event.movement_notice/1", "re_export_by"),
    }
)
"""Where the catalogue says that the end is later; elsewhere it may equal the start."""


def _periods_end_after_they_begin(facts: Facts) -> Pointers:
    payload = facts.payload
    pointers = []
    for end in _ENDS.intersection(payload):
        start = _PAIRS[end]
        if start in payload:
            begins, ends = sortable(payload[start]), sortable(payload[end])
            if ends < begins or (ends == begins and (facts.type_id, end) in _STRICT):
                pointers.append(f"/payload/{end}")
    return pointers


def _arrival_follows_departure(consignment: Json, _: str, __: Facts) -> Pointers:
    etd, eta = consignment.get("etd"), consignment.get("eta")
    return ("/eta",) if etd is not None and eta is not None and sortable(eta) < sortable(etd) else GOOD


def _flight_takes_time(flight: Json, _: str, __: Facts) -> Pointers:
    std, sta = flight.get("std"), flight.get("sta")
    return ("/sta",) if std is not None and sta is not None and sortable(sta) <= sortable(std) else GOOD


_dates_are_in_order = Rule(
    id="CX-DATES",
    number=72,
    pointer="/payload/{second field}; …/eta of the consignment; …/sta of the flight",
    wording=Wording(
        en="A period does not end before it begins, and an arrival does not precede its departure; a flight, "
        "an examination and what its description calls later also take some time. Exchange or correct the "
        "dates; check the time zone, all times are UTC.",
        fr="Une période ne finit pas avant de commencer, et une arrivée ne précède pas son départ ; un vol, "
        "un contrôle et ce que sa description dit postérieur ont aussi une durée. Inversez ou corrigez les "
        "dates ; vérifiez le fuseau, toutes les heures sont en UTC.",
    ),
    message_check=_periods_end_after_they_begin,
    reads=_ENDS,
    part_checks=(
        PartCheck(part="consignment", function=_arrival_follows_departure),
        PartCheck(part="flight", function=_flight_takes_time),
    ),
)

_REPORTED_INSTANTS: Final = {
    "seizure.report/1": ("seized_at",),
    "ops.sitrep/1": ("as_of",),
    "alert.response/1": ("at",),
    "fin.cash_movement/1": ("at",),
    "gov.security_incident/1": ("detected_at",),
    "target.disposition/1": ("done_at",),
}
_REPORTED_DAYS: Final = {
    "arms.trace_request/1": ("recovered_on",),
    "fraud.verification_request/1": ("document_date",),
}


@message_rule(
    "CX-PAST",
    73,
    pointer="/payload/{field}",
    applies_to=(*_REPORTED_INSTANTS, *_REPORTED_DAYS),
    en="What a message reports has happened before the message was created. Correct the time; all times are "
    "UTC.",
    fr="Ce qu'un message rapporte a eu lieu avant sa création. Corrigez l'heure ; toutes les heures sont en "
    "UTC.",
)
def _reports_are_about_the_past(facts: Facts) -> Pointers:
    payload = facts.payload
    late_instants = [
        f"/payload/{field}"
        for field in _REPORTED_INSTANTS.get(facts.type_id, ())
        if field in payload and instant_ms(payload[field]) > facts.created_ms
    ]
    late_days = [
        f"/payload/{field}"
        for field in _REPORTED_DAYS.get(facts.type_id, ())
        if field in payload and day_of_date(payload[field]) > facts.created_day
    ]
    return late_instants + late_days


@message_rule(
    "CX-ACTBEFORE",
    74,
    pointer="/payload/act_before",
    applies_to=(
        "target.cargo_referral/1",
        "target.preload_referral/1",
        "target.pax_referral/1",
        "alert.urgent/1",
        "parcel.referral/1",
        "drug.precursor_notice/1",
    ),
    en="act_before is later than created_at: nobody can act in the past. Give a time that is still ahead.",
    fr="act_before est postérieur à created_at : nul ne peut agir dans le passé. Indiquez une heure à venir.",
)
def _action_is_still_possible(facts: Facts) -> Pointers:
    act_before = facts.payload.get("act_before")
    if act_before is None or instant_ms(act_before) > facts.created_ms:
        return GOOD
    return ("/payload/act_before",)


@message_rule(
    "CX-NEEDEDBY",
    75,
    pointer="/payload/needed_by",
    applies_to=("inspect.request/1",),
    en="An examination is needed before the consignment leaves: needed_by is not later than its etd. Ask "
    "for an earlier time.",
    fr="Un contrôle est demandé avant le départ de l'envoi : needed_by n'est pas postérieur à son etd. "
    "Demandez-le plus tôt.",
)
def _examination_precedes_departure(facts: Facts) -> Pointers:
    etd = facts.payload["consignment"].get("etd")
    if etd is None or sortable(facts.payload["needed_by"]) <= sortable(etd):
        return GOOD
    return ("/payload/needed_by",)


RULES: Final[tuple[Rule, ...]] = (
    _dates_are_in_order,
    _reports_are_about_the_past,
    _action_is_still_possible,
    _examination_precedes_departure,
)
