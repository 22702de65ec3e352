"""CX-PRELOAD, CX-PAX, CX-RULE, CX-DISP, CX-INSPECT: referrals, rules, examinations, and what came of them."""

from __future__ import annotations

from typing import Final

from gateway.core.message.instants import day_of_date, instant_ms
from gateway.core.message.rules.definition import Facts, Pointers, Rule, Stage, message_rule
from gateway.core.message.rules.purpose import holds_pnr

_LONGEST_RULE_DAYS: Final = 366


@message_rule(
    "CX-PRELOAD",
    92,
    pointer="/payload/question, /payload/screening, /header/precedence or /payload/act_before",
    applies_to=("target.preload_referral/1",),
    en="A request for information (RFI) asks a question, one for screening (RFS) names methods, do-not-load "
    "(DNL) goes FLASH, and act_before is earlier than the scheduled departure (std). Add what is missing, "
    "raise the precedence, or correct the times.",
    fr="Une demande d'informations (RFI) pose une question, une demande d'inspection-filtrage (RFS) nomme "
    "des moyens, une interdiction de chargement (DNL) part en FLASH, et act_before précède le départ "
    "programmé (std). Ajoutez ce qui manque, relevez l'urgence, ou corrigez les heures.",
)
def _what_is_asked_before_loading_is_said(facts: Facts) -> Pointers:
    payload = facts.payload
    code = payload["code"]
    pointers = []
    if code == "RFI" and "question" not in payload:
        pointers.append("/payload/question")
    if code == "RFS" and not payload.get("screening"):
        pointers.append("/payload/screening")
    if code == "DNL" and facts.header["precedence"] != "FLASH":
        pointers.append("/header/precedence")
    departure = payload.get("flight", {}).get("std")
    if departure is not None and instant_ms(payload["act_before"]) >= instant_ms(departure):
        pointers.append("/payload/act_before")
    return pointers


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
    "CX-RULE",
    94,
    pointer="/payload/threshold or /payload/valid_to",
    applies_to=("target.risk_rule/1",),
    en="A rule whose logic is WEIGHTED has a threshold, and a rule is valid for 366 days at most. Add the "
    "threshold, or choose an earlier valid_to.",
    fr="Un profil de logique WEIGHTED a un seuil (threshold), et un profil vaut 366 jours au plus. Ajoutez "
    "le seuil, ou avancez valid_to.",
)
def _risk_rule_can_be_run_and_ends(facts: Facts) -> Pointers:
    payload = facts.payload
    pointers = []
    if payload["logic"] == "WEIGHTED" and "threshold" not in payload:
        pointers.append("/payload/threshold")
    if day_of_date(payload["valid_to"]) - day_of_date(payload["valid_from"]) > _LONGEST_RULE_DAYS:
        pointers.append("/payload/valid_to")
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
    _what_is_asked_before_loading_is_said,
    _travellers_travel,
    _risk_rule_can_be_run_and_ends,
    _result_says_when_and_deletes,
    _examination_is_whole,
)
