"""`entente approval`: changes that one operator proposes and a second one approves.

All of it speaks to a running node through its operator port. Who approves sees the change first,
and the call names the digest of what was shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

from gateway.cli.agency import JsonOption, LanguageOption, language_of, print_json
from gateway.cli.asking import is_confirmed
from gateway.cli.operator import OperatorOption, OperatorPort, OpsUrlOption, ReasonOption, uuid_of
from gateway.client.transport import Language
from gateway.core.message.wording import Wording

app = typer.Typer(no_args_is_help=True, help="Changes of the registry and of quotas that need two operators.")

_PATH: Final = "/ops/v1/approvals"
_NOT_REQUIRED: Final = Wording(
    en="Changes do not need two operators at this node (approvals.two_operators).",
    fr="Les modifications n'exigent pas deux exploitants sur ce nœud (approvals.two_operators).",
)
_NOTHING: Final = Wording(en="Nothing waits for anybody.", fr="Rien n'attend personne.")
_WAITS: Final = Wording(
    en="waits: {who} is in the registry file and may do nothing yet",
    fr="en attente : {who} figure au registre et ne peut encore rien faire",
)
_UNCONFIRMED: Final = Wording(
    en="out since {since}: {who}; two operators have to confirm it",
    fr="retiré depuis {since} : {who} ; deux exploitants doivent le confirmer",
)
_PROPOSE: Final = Wording(
    en="next: entente approval propose --reason …, then another operator: entente approval approve ID",
    fr="à faire : entente approval propose --reason …, puis un autre exploitant : … approve ID",
)
_FATES: Final = {
    "open": Wording(en="open until {until}", fr="ouverte jusqu'à {until}"),
    "approved": Wording(en="approved", fr="approuvée"),
    "rejected": Wording(en="rejected", fr="rejetée"),
    "expired": Wording(en="expired, nothing was done", fr="expirée, rien n'a été fait"),
}
_PROPOSED: Final = Wording(en="proposed {at} by {who}: {reason}", fr="proposée {at} par {who} : {reason}")
_DECIDED: Final = Wording(en="decided {at} by {who}: {reason}", fr="décidée {at} par {who} : {reason}")
_NODE: Final = Wording(en="the node", fr="le nœud")
_ENROL: Final = Wording(en="enrol {who}", fr="inscrire {who}")
_CONFIRM: Final = Wording(
    en="confirm that {who} is out, as it is already", fr="confirmer le retrait, déjà effectif, de {who}"
)
_QUOTA: Final = Wording(
    en="quota of {agency}: {per_minute} a minute, {waiting} waiting",
    fr="quota de {agency} : {per_minute} par minute, {waiting} en attente",
)
_NO_QUOTA: Final = Wording(
    en="quota of {agency}: that of the configuration again",
    fr="quota de {agency} : à nouveau celui de la configuration",
)
_NO_LIMIT: Final = Wording(en="no limit", fr="aucune limite")
_DIGEST: Final = Wording(en="SHA-384 of the change", fr="SHA-384 de la modification")
_ASK: Final = Wording(
    en="Approve exactly this, in your name?", fr="Approuver exactement ceci, en votre nom ?"
)
_NO: Final = Wording(en="not approved", fr="non approuvée")
_BY_HAND: Final = Wording(
    en="no terminal to ask at: show the proposal first, then repeat with --digest",
    fr="aucun terminal pour demander : affichez d'abord la proposition, puis répétez avec --digest",
)

ProposalArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a proposal.")]


@app.command("list", epilog="Example: entente approval list --as operators/AUDITOR --language fr")
def list_command(
    folder: OperatorOption,
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """List open proposals, who waits to be enrolled, and withdrawals that nobody has confirmed.

    Exit status 1 if any of these is there, so that a script can ask.
    """
    spoken = language_of(language)
    found = OperatorPort(folder, url, language).get(_PATH)
    shown = [item for item in found["proposals"] if every or item["fate"] == "open"]
    if as_json:
        print_json({**found, "proposals": shown})
    else:
        _print_standing(found, spoken)
        for item in shown:
            print_proposal(item, spoken)
    if found["waiting"] or found["unconfirmed"] or _is_any_open(found["proposals"]):
        raise typer.Exit(1)


@app.command("show", epilog="Example: entente approval show ID --as operators/SECOND")
def show_command(
    proposal: ProposalArgument,
    folder: OperatorOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Show a proposal: what it changes, who wants it, why, and its digest."""
    spoken = language_of(language)
    item = OperatorPort(folder, url, language).get(f"{_PATH}/{uuid_of(proposal)}")
    _answer(item, spoken, as_json=as_json)


@app.command("propose", epilog='Example: entente approval propose --reason "New agency" --as operators/FIRST')
def propose_command(
    folder: OperatorOption,
    reason: ReasonOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Propose the registry as its file on the node is now; another operator has to approve it.

    Quotas are proposed by `entente quota set` and `entente quota clear`.
    """
    spoken = language_of(language)
    item = OperatorPort(folder, url, language).post(f"{_PATH}:propose", {"reason": reason})
    _answer(item, spoken, as_json=as_json)


@app.command("approve", epilog='Example: entente approval approve ID --reason "Called them" --as operators/B')
def approve_command(
    proposal: ProposalArgument,
    folder: OperatorOption,
    reason: ReasonOption,
    digest: Annotated[
        str | None,
        typer.Option(
            "--digest",
            help="SHA-384 of the change as `approval show` gave it; do not ask.",
            show_default=False,
        ),
    ] = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Show what another operator has proposed, ask, and carry it out."""
    spoken = language_of(language)
    port = OperatorPort(folder, url, language)
    path = f"{_PATH}/{uuid_of(proposal)}"
    if digest is None:
        if not sys.stdin.isatty():
            raise typer.BadParameter(_BY_HAND.text(spoken), param_hint="--digest")
        item = port.get(path)
        print_proposal(item, spoken)
        if not is_confirmed(_ASK, spoken):
            typer.echo(_NO.text(spoken), err=True)
            raise typer.Exit(1)
        digest = item["digest"]
    _answer(port.post(f"{path}:approve", {"digest": digest, "reason": reason}), spoken, as_json=as_json)


@app.command("reject", epilog='Example: entente approval reject ID --reason "Not ours" --as operators/SECOND')
def reject_command(
    proposal: ProposalArgument,
    folder: OperatorOption,
    reason: ReasonOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """End a proposal; nothing is done. Its proposer may take it back in the same way."""
    spoken = language_of(language)
    port = OperatorPort(folder, url, language)
    _answer(port.post(f"{_PATH}/{uuid_of(proposal)}:reject", {"reason": reason}), spoken, as_json=as_json)


def _answer(item: dict[str, Any], spoken: Language, *, as_json: bool) -> None:
    if as_json:
        print_json(item)
    else:
        print_proposal(item, spoken)


def _print_standing(found: dict[str, Any], spoken: Language) -> None:
    if not found["required"]:
        typer.echo(_NOT_REQUIRED.text(spoken))
        return
    if not (found["waiting"] or found["unconfirmed"] or _is_any_open(found["proposals"])):
        typer.echo(_NOTHING.text(spoken))
    for item in found["waiting"]:
        typer.echo(_WAITS.fill(who=_who(item, spoken)).text(spoken))
    for item in found["unconfirmed"]:
        typer.echo(_UNCONFIRMED.fill(who=_who(item, spoken), since=item["since"]).text(spoken))
    if found["waiting"] or found["unconfirmed"]:
        typer.echo(_PROPOSE.text(spoken))


def _is_any_open(proposals: Iterable[dict[str, Any]]) -> bool:
    return any(item["fate"] == "open" for item in proposals)


def print_proposal(item: dict[str, Any], spoken: Language) -> None:
    """Print a proposal, a line for each thing that it does."""
    fate = _FATES[item["fate"]].fill(until=item["until"]).text(spoken)
    typer.echo(f"{item['id']}  {fate}")
    for line in _changes(item["change"], spoken):
        typer.echo(f"  - {line}")
    for wording, word in ((_PROPOSED, item["proposed"]), (_DECIDED, item["decided"])):
        if word is not None:
            said = wording.fill(at=word["at"], who=_who(word["by"], spoken), reason=word["reason"])
            typer.echo(f"  {said.text(spoken)}")
    typer.echo(f"  {_DIGEST.text(spoken)}: {item['digest']}")


def _changes(change: dict[str, Any], spoken: Language) -> Iterable[str]:
    if "quota" in change:
        quota = change["quota"]
        if quota["limits"] is None:
            yield _NO_QUOTA.fill(agency=quota["agency"]).text(spoken)
            return
        limits = {
            name: _NO_LIMIT.text(spoken) if limit is None else str(limit)
            for name, limit in quota["limits"].items()
        }
        yield _QUOTA.fill(agency=quota["agency"], **limits).text(spoken)
        return
    for item in change["registry"]["enrol"]:
        yield _ENROL.fill(who=_who(item, spoken)).text(spoken)
    for item in change["registry"]["withdrawn"]:
        yield _CONFIRM.fill(who=_who(item, spoken)).text(spoken)


def _who(item: dict[str, str] | None, spoken: Language) -> str:
    """Return a holder with the whole digest of the key: it is what is compared by telephone."""
    if item is None:
        return _NODE.text(spoken)
    return f"{item['code']} ({item['role']}, {item['spki_sha256']})"
