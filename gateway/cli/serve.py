"""`entente serve` and `entente config`: run a node, and say what it would run with."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from gateway.app import serve_node, unusable
from gateway.cli.agency import LanguageOption, language_of
from gateway.cli.refusals import told
from gateway.config import load_config
from gateway.errors import GatewayError
from gateway.keyring.token import look_at_token, token_settings
from gateway.node.advice import ADVICE

config_app = typer.Typer(no_args_is_help=True, help="Look at the configuration of a node.")

Home = Annotated[Path, typer.Option("--home", help="Node home, the folder with gateway.toml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def serve_command(home: Home) -> None:
    """Run a node until SIGTERM or Ctrl-C. One JSON line an event on standard error.

    Why it stopped is said in English and French, whoever is on duty: its lines are read where no option
    could choose a language.

    Example: entente serve --home var/demo/fr
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(home))
    except GatewayError as error:
        said, advice = told(error), ADVICE.get(error.code)
        typer.echo(f"entente serve: {said.en} [{error.code}]", err=True)
        if advice is not None:
            typer.echo(advice.en, err=True)
        if said.fr != said.en:
            typer.echo(f"entente serve : {said.fr} [{error.code}]", err=True)
        if advice is not None:
            typer.echo(advice.fr, err=True)
        raise typer.Exit(1) from error


async def _serve(home: Path) -> None:
    """Serve; the first signal drains, a second one ends at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, loop, number, stop)
    await serve_node(home, stop=stop)


def _stop(loop: asyncio.AbstractEventLoop, number: signal.Signals, stop: asyncio.Event) -> None:
    stop.set()
    loop.remove_signal_handler(number)


@config_app.command("check", epilog="Example: entente config check --home var/demo/fr")
def check_command(home: Home, *, language: LanguageOption = "en", as_json: AsJson = False) -> None:
    """Print the effective configuration, or every error in it at once.

    The files that it names are read, but for keys. A token that it names is looked at without its
    PIN; `entente doctor` opens the keys, logs in and signs.
    """
    spoken = language_of(language)
    try:
        config = load_config(home)
        refused = list(unusable(home, config))
        token = token_settings(home, config)
        if token is not None:
            look_at_token(token)
    except GatewayError as error:
        typer.echo(f"{told(error).text(spoken)} [{error.code}]", err=True)
        raise typer.Exit(1) from error
    for refusal in refused:
        typer.echo(f"{told(refusal).text(spoken)} [{refusal.code}]", err=True)
    if refused:
        raise typer.Exit(1)
    values = config.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    for section, content in values.items():
        if content is None:
            typer.echo(f"{section} = None")
            continue
        for key, value in content.items():
            if isinstance(value, dict):
                for name, inner in value.items():
                    typer.echo(f"{section}.{key}.{name} = {inner}")
            else:
                typer.echo(f"{section}.{key} = {value}")
