"""Messages of many lengths, and invalid ones, on nodes of their own.

Apart from the other loads, because what they leave on disk is not what a message of the ordinary
length leaves. Each round runs the ordinary load, the mix, and invalid messages alone, so
that what refusing costs is compared with what accepting cost a moment before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from scripts._bench.helper import Helper
from scripts._bench.loads import BULK, Load, Stage, count_for
from scripts._bench.options import Options, fresh_nodes
from scripts._bench.verification import verify

PLAIN: Final = replace(BULK, name="plain")
REAL: Final = replace(BULK, name="real", mix="real", invalid=0.02)
"""Bulk of a working day: messages of many lengths, one in fifty of them invalid."""

REFUSED: Final = replace(BULK, name="refused", invalid=1.0)
"""Invalid messages alone, of the ordinary length."""

OPEN_REAL: Final = Load(
    name="open-200-real", lines=1, connections=64, rate=200, arrivals="poisson", mix="real", invalid=0.02
)
WARM_UP: Final = {PLAIN.name: 2_000, REAL.name: 500}


def run_mixed(options: Options, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the mixes round by round; return the rounds.

    Raises:
        LoadError: A valid message was refused, lost or repeated, or an invalid one accepted.
    """
    with fresh_nodes(options) as nodes, nodes.running():
        setup = str(nodes.write_setup(nodes.folder / "setup.json"))
        with Helper("load", setup) as generator, Helper("consumer", setup) as consumer:
            consumer.ask(do="begin", nations=["US"])
            stage = Stage(nodes, generator, consumer)
            rates = {load.name: stage.run(load, WARM_UP[load.name])[stage.rate_key] for load in (PLAIN, REAL)}
            rates[REFUSED.name] = rates[PLAIN.name]
            rounds: list[dict[str, Any]] = []
            for number in range(1, options.rounds + 1):
                results: dict[str, Any] = {}
                for load in (PLAIN, REAL, REFUSED):
                    count = options.count or count_for(rates[load.name], options.seconds / 2)
                    say(f"mixes, round {number} of {options.rounds}: {load.name}, {count} messages")
                    results[load.name] = stage.run(load, count)
                say(f"mixes, round {number} of {options.rounds}: {OPEN_REAL.name}")
                count = max(int((OPEN_REAL.rate or 0.0) * options.seconds), 100)
                results[OPEN_REAL.name] = stage.run(OPEN_REAL, count)
                rounds.append(results)
            return {"rounds": rounds, "verified": verify(stage)}
