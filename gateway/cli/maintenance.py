"""`entente maintenance` and `entente quota`: what a running node takes on.

Both speak to it through its operator port; nothing is restarted.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from gateway.cli.agency import JsonOption, LanguageOption, language_of, print_json, show, spoken_table
from gateway.cli.approval import print_proposal
from gateway.cli.operator import OperatorOption, OperatorPort, OpsUrlOption, ReasonOption
from gateway.client.transport import Language
from gateway.core.message.wording import Wording

app = typer.Typer(no_args_is_help=True, help="Take nothing new on, and know when the rest is away.")
quota_app = typer.Typer(no_args_is_help=True, help="How much each agency may send.")

_PATH: Final = "/ops/v1/maintenance"
_QUOTAS: Final = "/ops/v1/quotas"
_ASK_EVERY_S: Final = 1.0

_NONE: Final = Wording(
    en="no maintenance: new messages are accepted",
    fr="pas de maintenance : les nouveaux messages sont acceptés",
)
_SINCE: Final = Wording(en="maintenance since {since} ({reason})", fr="maintenance depuis {since} ({reason})")
_DRAINED: Final = Wording(en="drained: it can be stopped", fr="vidé : il peut être arrêté")
_DRAINING: Final = Wording(
    en="draining: {waiting} waiting, {on_the_way} on the way",
    fr="se vide : {waiting} en attente, {on_the_way} en route",
)
_OTHERS: Final = Wording(en="(all others)", fr="(tous les autres)")
_NO_LIMIT: Final = Wording(en="no limit", fr="sans limite")
_COLUMNS: Final = (
    Wording(en="agency", fr="service"),
    Wording(en="per minute", fr="par minute"),
    Wording(en="waiting", fr="en attente"),
    Wording(en="since", fr="depuis"),
    Wording(en="reason", fr="motif"),
)

AgencyArgument = Annotated[str, typer.Argument(metavar="AGENCY", help="Code of an agency of this nation.")]
WaitOption = Annotated[
    int | None,
    typer.Option(
        "--wait",
        min=1,
        help="Wait so many seconds until the node is drained; exit status 1 if it is not by then.",
        show_default=False,
    ),
]


@app.command(
    "start", epilog='Example: entente maintenance start --reason "Upgrade" --wait 300 --as operators/OPERATOR'
)
def start_command(
    folder: OperatorOption,
    reason: ReasonOption,
    wait: WaitOption = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Refuse new messages with 503 from now on, and send what was accepted. A restart changes nothing."""
    port = OperatorPort(folder, url, language)
    found = port.post(f"{_PATH}:start", {"reason": reason})
    _tell(port, found, wait, as_json=as_json)


@app.command("status", epilog="Example: entente maintenance status --as operators/AUDITOR")
def status_command(
    folder: OperatorOption,
    wait: WaitOption = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Say whether the node is under maintenance, since when and why, and whether it is drained."""
    port = OperatorPort(folder, url, language)
    _tell(port, port.get(_PATH), wait, as_json=as_json)


@app.command("end", epilog='Example: entente maintenance end --reason "Done" --as operators/OPERATOR')
def end_command(
    folder: OperatorOption,
    reason: ReasonOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Take new messages on again."""
    port = OperatorPort(folder, url, language)
    _tell(port, port.post(f"{_PATH}:end", {"reason": reason}), None, as_json=as_json)


@quota_app.command("list", epilog="Example: entente quota list --as operators/AUDITOR")
def list_command(
    folder: OperatorOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """List the quota of the configuration, and those of single agencies with since when and why."""
    port = OperatorPort(folder, url, language)
    _show_quotas(port.get(_QUOTAS), port.language, as_json=as_json)


@quota_app.command(
    "set",
    epilog="Example: entente quota set FR.DGDDI.SARC --per-minute 600 --waiting 50000 "
    '--reason "Their system loops" --as operators/OPERATOR',
)
def set_command(
    agency: AgencyArgument,
    folder: OperatorOption,
    reason: ReasonOption,
    per_minute: Annotated[
        int | None,
        typer.Option(
            "--per-minute", min=1, help="Messages a minute; no limit if absent.", show_default=False
        ),
    ] = None,
    waiting: Annotated[
        int | None,
        typer.Option(
            "--waiting",
            min=1,
            help="Messages that may wait to be sent; no limit if absent.",
            show_default=False,
        ),
    ] = None,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Let a quota hold for one agency at once, in place of the configuration's."""
    document = {"agency": agency, "per_minute": per_minute, "waiting": waiting, "reason": reason}
    _tell_change(OperatorPort(folder, url, language).post(_QUOTAS, document), language, as_json=as_json)


@quota_app.command(
    "clear", epilog='Example: entente quota clear FR.DGDDI.SARC --reason "Mended" --as operators/OPERATOR'
)
def clear_command(
    agency: AgencyArgument,
    folder: OperatorOption,
    reason: ReasonOption,
    url: OpsUrlOption = None,
    language: LanguageOption = "en",
    as_json: JsonOption = False,
) -> None:
    """Let the configuration's quota hold for an agency again."""
    document = {"agency": agency, "reason": reason}
    port = OperatorPort(folder, url, language)
    _tell_change(port.post(f"{_QUOTAS}:clear", document), language, as_json=as_json)


def _tell(port: OperatorPort, found: dict[str, Any], wait_s: int | None, *, as_json: bool) -> None:
    """Print how far a node is; with a wait, once it is drained or the time is over."""
    end_s = time.monotonic() + (wait_s or 0)
    while wait_s is not None and not found["drained"] and time.monotonic() < end_s:
        time.sleep(_ASK_EVERY_S)
        found = port.get(_PATH)
    if as_json:
        print_json(found)
    elif not found["maintenance"]:
        typer.echo(_NONE.text(port.language))
    else:
        state = _DRAINED if found["drained"] else _DRAINING
        state = state.fill(waiting=str(found["waiting"]), on_the_way=str(found["on_the_way"]))
        since = _SINCE.text(port.language).format(since=found["since"], reason=found["reason"])
        typer.echo(f"{since} ; {state.fr}" if port.language == "fr" else f"{since}; {state.en}")
    if wait_s is not None and not found["drained"]:
        raise typer.Exit(1)


def _tell_change(found: dict[str, Any], language: str, *, as_json: bool) -> None:
    """Print the quotas as they are now, or the proposal that waits for a second operator."""
    if as_json or "proposal" not in found:
        _show_quotas(found, language_of(language), as_json=as_json)
    else:
        print_proposal(found["proposal"], language_of(language))


def _show_quotas(found: dict[str, Any], spoken: Language, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = spoken_table(_COLUMNS, spoken)
    for quota in (
        {"agency": _OTHERS.text(spoken), "since": "", "reason": "", **found["default"]},
        *found["agencies"],
    ):
        limits = (
            _NO_LIMIT.text(spoken) if quota[name] is None else str(quota[name])
            for name in ("per_minute", "waiting")
        )
        rows.add_row(quota["agency"], *limits, quota["since"], quota["reason"])
    show(rows)
