"""The command `entente`, for operators, agencies and auditors.

Commands read arguments, call the composition root, the client or the offline audit, and
print. Exit status: 0 fine, 1 the answer is no, 2 wrong usage.
"""

from __future__ import annotations

import typer

from gateway.cli import audit, init, keys, log, serve

app = typer.Typer(
    name="entente",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Entente: exchange of intelligence between two nations, signed, encrypted and logged.",
    epilog="Every command has --help with an example. Exit: 0 fine, 1 the answer is no, 2 wrong usage.",
)
app.command("serve")(serve.serve_command)
app.add_typer(serve.config_app, name="config")
app.add_typer(init.app)
app.add_typer(keys.app, name="keys")
app.add_typer(log.app, name="log")
app.add_typer(audit.app, name="audit")


def main() -> None:
    """Run the command line."""
    app()
