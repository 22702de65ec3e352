"""What a run says: ratios first, then numbers, for people; and everything for programs.

Ratios hold on any machine, since both sides of each were measured in the same minutes;
rates are those of the machine and of whoever else was using it, which is told too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from scripts._bench.figures import LOADS, numbers, ratios
from scripts._bench.lines import deep, table, target_table
from scripts._bench.quantiles import median_of, spread
from scripts._bench.targets import targets

FORMAT: Final = 1
BUSY_CORES: Final = 0.3
"""Beyond so many cores in the hands of others, rates say little; ratios still hold."""


def make_report(
    *,
    rounds: list[dict[str, Any]],
    loads: Mapping[str, Any],
    apart: Mapping[str, Any],
    machine: Mapping[str, Any],
    elapsed_s: float,
    quick: bool,
) -> dict[str, Any]:
    """Return everything a run has measured, with medians and ratios.

    Args:
        rounds: What each round measured, by the name of the load; ``blocks`` among them.
        loads: What was measured once, beside them: ``disk``, ``verified``.
        apart: What parts with nodes of their own have measured, by their names.
        machine: Result of `scripts._bench.machine`.
        elapsed_s: How long all of it took.
        quick: Whether it was a quick run.
    """
    report: dict[str, Any] = {
        "format": FORMAT,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "elapsed_s": elapsed_s,
        "machine": dict(machine),
        "medians": median_of(rounds),
        **{name: apart.get(name) for name in ("backlog", "growth", "distance")},
        "disk": loads.get("disk"),
        "verified": loads.get("verified"),
        "rounds": rounds,
    }
    report["targets"] = {line.name: line.value for line in targets(report)}
    report["ratios"] = {line.name: line.value for line in ratios(report) if line.value is not None}
    return report


def print_report(report: Mapping[str, Any]) -> None:
    """Print a report for people."""
    print("\n".join(report_lines(report)))


def report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a report."""
    machine = report["machine"]
    shared = "half of them each node" if machine.get("bound") else "shared by both nodes"
    crew = f", {machine['crew']} more processes each" if machine.get("crew") else ""
    yield f"{machine['cpu']}, {machine['cores']} cores, {shared}{crew}"
    yield f"Python {machine['python']}; {machine['file_system']}"
    rounds = len(report["rounds"])
    yield from target_table("Targets", targets(report))
    yield from table("Ratios", ratios(report))
    yield from table(f"Medians of {rounds} rounds" if rounds > 1 else "One round", numbers(report))
    yield ""
    yield from _remarks(report)


def history_line(report: Mapping[str, Any]) -> bytes:
    """Return what is kept of a report for ever, as one line of JSON."""
    kept = {key: report[key] for key in ("format", "at", "quick", "machine", "targets", "ratios")}
    kept["numbers"] = {line.name: line.value for line in numbers(report) if line.value is not None}
    return orjson.dumps(kept) + b"\n"


def append_history(path: Path, report: Mapping[str, Any]) -> None:
    """Append a report to a history."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(history_line(report))


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader has to know before he believes the numbers."""
    medians = report["medians"]
    for name in LOADS:
        load = medians.get(name)
        if load is None:
            continue
        others = load["cpu_us_per_message"]["cores_of_others"]
        found = [item[name]["received_per_s"] for item in report["rounds"] if name in item]
        # Of a load that is refused altogether, nothing is received.
        rates = [rate for rate in found if rate is not None]
        if others > BUSY_CORES:
            yield f"{name}: other processes kept {others:.1f} cores busy; its rate is not this machine's"
        if spread(rates) > 0.2:
            yield f"{name}: rounds differ by {100 * spread(rates):.0f} %"
        void = [item[name]["void"] for item in report["rounds"] if name in item]
        if any(void):
            yield f"{name}: void in {sum(void)} of {len(void)} rounds, the generator itself was late"
        if load["pushed_back"]:
            yield f"{name}: {load['pushed_back']:.0f} requests were answered 429 or 503 and repeated"
    skipped = deep(report["distance"] or {}, "skipped")
    if skipped:
        yield f"bulk over a distance was left out: {skipped}"
    if report["quick"]:
        yield "a quick run: smaller counts than asked, each in its row; one short round"
    verified = report["verified"]
    if verified is not None:
        yield (
            f"verified: {verified['accepted']} accepted, {verified['collected']} collected, "
            f"{verified['lost']} lost, {verified['twice']} twice"
        )
    yield f"{report['elapsed_s']:.0f} s, {report['machine']['commit']}, {report['at']}"
