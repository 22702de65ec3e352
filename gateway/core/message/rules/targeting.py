"""CX-PAX, CX-DISP, CX-INSPECT: referrals and examinations, and what came of them."""

from __future__ import annotations

from typing import Final

from gateway.core.message.rules.definition import Facts, Pointers, Rule, Stage, message_rule
from gateway.core.message.rules.purpose import holds_pnr


@message_rule(
    "CX-PAX",
    93,
    pointer="/payload/travellers or /payload/pnr_locator",
    applies_to=("target.pax_referral/1",),
    en="Travellers are passengers or crew, and pnr_locator is there if, and only if, the data comes from "
    "passenger name records. Correct the roles or the source, or add or remove pnr_locator.",
    fr="Les voyageurs sont des passagers ou l'équipage, et pnr_locator figure si, et seulement si, les "
    "données viennent du PNR. Corrigez les rôles ou la source, ou ajoutez ou retirez pnr_locator.",
)
def _travellers_travel(facts: Facts) -> Pointers:
    payload = facts.payload
    pointers = []
    if any(traveller["role"] not in ("PASSENGER", "CREW") for traveller in payload["travellers"]):
        pointers.append("/payload/travellers")
    if ("pnr_locator" in payload) != holds_pnr(facts):
        pointers.append("/payload/pnr_locator")
    return pointers


@message_rule(
    "CX-DISP",
    95,
    pointer="/payload/done_at or /payload/delete_subject_data",
    applies_to=("target.disposition/1",),
    en="A positive or negative result says when the check was done, and after a negative one the data of "
    "those checked is deleted. Add done_at, or set delete_subject_data to true.",
    fr="Un résultat positif ou négatif dit quand le contrôle a eu lieu, et après un résultat négatif les "
    "données des personnes contrôlées sont effacées. Ajoutez done_at, ou mettez delete_subject_data à true.",
)
def _result_says_when_and_deletes(facts: Facts) -> Pointers:
    payload = facts.payload
    disposition = payload["disposition"]
    pointers = []
    if disposition in ("POSITIVE", "NEGATIVE") and "done_at" not in payload:
        pointers.append("/payload/done_at")
    if disposition == "NEGATIVE" and payload["delete_subject_data"] is not True:
        pointers.append("/payload/delete_subject_data")
    return pointers


@message_rule(
    "CX-INSPECT",
    96,
    pointer="/payload, /payload/outcome or /payload/container",
    applies_to=("inspect.result/1",),
    stage=Stage.BOTH,
    en="An examination that was performed has its start, its end and its methods; one that was not has the "
    "outcome NOT_EXAMINED; the container is one of the request. Add what is missing, or correct outcome or "
    "container.",
    fr="Un contrôle effectué a un début, une fin et des méthodes ; un contrôle non effectué a pour issue "
    "NOT_EXAMINED ; le conteneur est l'un de ceux de la demande. Ajoutez ce qui manque, ou corrigez outcome "
    "ou container.",
)
def _examination_is_whole(facts: Facts) -> Pointers:
    payload = facts.payload
    performed = payload["performed"]
    pointers = []
    if performed and not ("started_at" in payload and "ended_at" in payload and payload["methods"]):
        pointers.append("/payload")
    if performed == (payload["outcome"] == "NOT_EXAMINED"):
        pointers.append("/payload/outcome")
    return pointers


RULES: Final[tuple[Rule, ...]] = (
    _travellers_travel,
    _result_says_when_and_deletes,
    _examination_is_whole,
)
