"""What a run says: ratios first, then numbers, for people; and everything for programs.

Ratios hold on any machine, since both sides of each were measured in the same minutes;
rates are those of the machine and of whoever else was using it, which is told too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from scripts._bench.blocks import CORES, limit_us
from scripts._bench.quantiles import median_of, spread

FORMAT: Final = 1
MIB: Final = 1_048_576
BUSY_CORES: Final = 0.3
"""Beyond so many cores in the hands of others, rates say little; ratios still hold."""

LEAST_RATES: Final = {"bulk": 3_000, "single": 1_200}
"""Messages a second, accepted to received, that two cores should carry: all processes together."""

PROCESSES: Final = ("node_fr", "node_fr_system", "node_us", "node_us_system", "generator", "consumer")
LOADS: Final = ("bulk", "single", "both", "open-5", "open-200", "open-1000", "open-3000-bulk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One number with what is asked of it.

    Attributes:
        name: What it is.
        value: The number, or None where this run has not measured it.
        unit: Its unit.
        least: It should not be below this.
        most: It should not be above this.
    """

    name: str
    value: float | None
    unit: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def verdict(self) -> str:
        """Return ``ok``, ``MISSED``, or nothing where nothing is asked or measured."""
        if self.value is None or (self.least is None and self.most is None):
            return ""
        low = self.least is not None and self.value < self.least
        high = self.most is not None and self.value > self.most
        return "MISSED" if low or high else "ok"

    @property
    def target(self) -> str:
        """Return what is asked of it."""
        if self.least is not None:
            return f">= {_number(self.least)}"
        return "" if self.most is None else f"<= {_number(self.most)}"


def make_report(
    *,
    rounds: list[dict[str, Any]],
    loads: Mapping[str, Any],
    backlog: Mapping[str, Any] | None,
    machine: Mapping[str, Any],
    elapsed_s: float,
    quick: bool,
) -> dict[str, Any]:
    """Return everything a run has measured, with medians and ratios.

    Args:
        rounds: What each round measured, by the name of the load; ``blocks`` among them.
        loads: What was measured once, beside them: ``disk``, ``verified``.
        backlog: Result of `scripts._bench.backlog`, or None.
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
        "backlog": None if backlog is None else dict(backlog),
        "disk": loads.get("disk"),
        "verified": loads.get("verified"),
        "rounds": rounds,
    }
    report["ratios"] = {line.name: line.value for line in ratios(report) if line.value is not None}
    return report


def ratios(report: Mapping[str, Any]) -> list[Line]:
    """Return what holds on any machine."""
    medians = report["medians"]
    blocks, bulk, single = (medians.get(name) for name in ("blocks", "bulk", "single"))
    apart = {} if blocks is None else blocks["apart"]
    rate, single_rate = _rate(bulk), _rate(single)
    nodes_us = None if bulk is None else bulk["cpu_us_per_message"]["both_nodes"]
    limit = None
    if blocks is not None and bulk is not None:
        limit = limit_us(blocks, bulk["bundle_messages"].get("mean", 1.0))
    drained = None if report["backlog"] is None else report["backlog"]["drained_per_s"]
    return [
        Line(
            name="bulk rate / each message signed and sealed, each receipt signed (MLKEM768_X25519)",
            value=_ratio(rate, _deep(apart, "mlkem768_x25519", "per_s_on_2_cores")),
            least=5,
        ),
        Line(
            name="bulk rate / the same with the exchange's own KEM (MLKEM1024_P384)",
            value=_ratio(rate, _deep(apart, "mlkem1024_p384", "per_s_on_2_cores")),
            least=5,
        ),
        Line(
            name="bulk rate / each message signed and sealed, without receipt (MLKEM768_X25519)",
            value=_ratio(rate, _deep(apart, "mlkem768_x25519_without_receipt", "per_s_on_2_cores")),
        ),
        Line(
            name="bulk CPU of both nodes / the same work in bare building blocks",
            value=_ratio(nodes_us, limit),
        ),
        Line(
            name="bulk CPU of both nodes / twice JSON decoding and schema alone",
            value=_ratio(nodes_us, None if blocks is None else blocks["parsing_us"]),
        ),
        Line(
            name="schema and all stateless rules / JSON decoding and schema alone (orjson, jsonschema-rs)",
            value=_deep(blocks or {}, "over_libraries", "schema_and_rules"),
            most=6,
        ),
        Line(
            name="strict JSON / JSON decoding alone (orjson)",
            value=_deep(blocks or {}, "over_libraries", "strict_json"),
            most=4,
        ),
        Line(name="single rate / bulk rate", value=_ratio(single_rate, rate)),
        Line(name="drain of a backlog / bulk rate", value=_ratio(drained, rate)),
    ]


def numbers(report: Mapping[str, Any]) -> list[Line]:
    """Return rates, latencies and sizes, with what the project asks of them on two cores."""
    medians = report["medians"]
    lines = [
        Line(
            name=f"{name}: {step}",
            value=_deep(medians.get(name) or {}, f"{step}_per_s"),
            unit="msg/s",
            least=LEAST_RATES.get(name) if step == "received" else None,
        )
        for name in ("bulk", "single", "both")
        for step in ("accepted", "received", "collected")
    ]
    for name, asked in (("open-5", 30), ("open-200", None), ("open-1000", None), ("open-3000-bulk", None)):
        load = medians.get(name)
        for key, text in (
            ("answer_ms", "202"),
            ("accepted_to_received_ms", "accepted to received"),
            ("due_to_received_ms", "due to received"),
        ):
            lines += [
                Line(
                    name=f"{name}: {text}, {share.replace('p999', 'p99.9')}",
                    value=_deep(load or {}, key, share),
                    unit="ms",
                    most=asked if (key, share) == ("accepted_to_received_ms", "p50") else None,
                )
                for share in ("p50", "p99", "p999")
            ]
    for name in LOADS:
        lines += [
            Line(
                name=f"{name}: CPU of {process}",
                value=_deep(medians.get(name) or {}, "cpu_us_per_message", process),
                unit="us/msg",
            )
            for process in PROCESSES
        ]
        lines += _work_lines(name, medians.get(name) or {})
    lines += [
        Line(
            name="bulk: bytes between the nodes",
            value=_deep(medians.get("bulk") or {}, "link_bytes_per_message"),
            unit="B/msg",
        ),
        Line(name="disk, both nodes", value=_deep(report["disk"] or {}, "both_nodes"), unit="B/msg"),
        Line(
            name="disk beyond ciphertexts",
            value=_deep(report["disk"] or {}, "beyond_ciphertexts"),
            unit="B/msg",
        ),
    ]
    for nation in ("FR", "US"):
        peak = _deep(medians.get("bulk") or {}, "memory_peak_bytes", nation)
        lines.append(Line(name=f"memory peak of node_{nation.lower()}", value=_ratio(peak, MIB), unit="MiB"))
    return [*lines, *_block_lines(medians), *_backlog_lines(report["backlog"] or {})]


def print_report(report: Mapping[str, Any]) -> None:
    """Print a report for people."""
    print("\n".join(report_lines(report)))


def report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a report."""
    machine = report["machine"]
    shared = "half of them each node" if machine.get("bound") else "shared by both nodes"
    yield f"{machine['cpu']}, {machine['cores']} cores, {shared}"
    yield f"Python {machine['python']}; {machine['file_system']}"
    rounds = len(report["rounds"])
    yield from _table("Ratios", ratios(report))
    yield from _table(f"Medians of {rounds} rounds" if rounds > 1 else "One round", numbers(report))
    yield ""
    yield from _remarks(report)


def history_line(report: Mapping[str, Any]) -> bytes:
    """Return what is kept of a report for ever, as one line of JSON."""
    kept = {key: report[key] for key in ("format", "at", "quick", "machine", "ratios")}
    kept["numbers"] = {line.name: line.value for line in numbers(report) if line.value is not None}
    return orjson.dumps(kept) + b"\n"


def append_history(path: Path, report: Mapping[str, Any]) -> None:
    """Append a report to a history."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(history_line(report))


def _work_lines(name: str, load: Mapping[str, Any]) -> list[Line]:
    """Return how busy a load kept the machine, and how often the nodes signed and synced."""
    lines = [
        Line(
            name=f"{name}: cores that the run kept busy",
            value=_deep(load, "cpu_us_per_message", "cores_of_run"),
        ),
        Line(name=f"{name}: messages a bundle", value=_deep(load, "bundle_messages", "mean")),
    ]
    for nation in ("FR", "US"):
        node = f"node_{nation.lower()}"
        lines += [
            Line(
                name=f"{name}: bundles signed by {node}",
                value=_deep(load, "bundles", nation, "per_s"),
                unit="/s",
            ),
            Line(name=f"{name}: commits of {node}", value=_deep(load, "commits_per_s", nation), unit="/s"),
        ]
    return lines


def _block_lines(medians: Mapping[str, Any]) -> list[Line]:
    """Return what the same work needs in bare building blocks."""
    blocks, bulk = medians.get("blocks"), medians.get("bulk")
    if blocks is None:
        return []
    limit = None if bulk is None else limit_us(blocks, bulk["bundle_messages"].get("mean", 1.0))
    return [
        Line(name="blocks: both nodes, a message", value=blocks["per_message_us"], unit="us"),
        Line(name="blocks: both nodes, a bundle", value=blocks["per_bundle_us"], unit="us"),
        Line(name="blocks: both nodes, with bundles as long as under bulk", value=limit, unit="us/msg"),
        Line(name="blocks: that many on two cores", value=_ratio(CORES * 1e6, limit), unit="msg/s"),
        *(
            Line(
                name=f"blocks: each message and receipt by itself, {name}, on two cores",
                value=item["per_s_on_2_cores"],
                unit="msg/s",
            )
            for name, item in blocks["apart"].items()
        ),
    ]


def _backlog_lines(backlog: Mapping[str, Any]) -> list[Line]:
    memory = {
        name: _ratio(backlog.get(f"memory_{name}_bytes"), MIB)
        for name in ("before", "after", "peak_accepting", "peak_draining")
    }
    flash = backlog.get("flash_accepted_to_received_ms", {})
    return [
        Line(name="backlog: messages", value=backlog.get("messages")),
        Line(name="backlog: accepted", value=backlog.get("accepted_per_s"), unit="msg/s"),
        *(
            Line(name=f"backlog: memory, {name.replace('_', ' ')}", value=value, unit="MiB")
            for name, value in memory.items()
        ),
        Line(name="backlog: drained", value=backlog.get("drained_per_s"), unit="msg/s"),
        Line(name="backlog: sent out of order", value=backlog.get("sent_out_of_order"), most=0),
        *(
            Line(name=f"backlog: FLASH behind it, {share}", value=flash.get(share), unit="ms")
            for share in ("p50", "p99")
        ),
    ]


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a reader has to know before he believes the numbers."""
    medians = report["medians"]
    for name in LOADS:
        load = medians.get(name)
        if load is None:
            continue
        others = load["cpu_us_per_message"]["cores_of_others"]
        rates = [item[name]["received_per_s"] for item in report["rounds"] if name in item]
        if others > BUSY_CORES:
            yield f"{name}: other processes kept {others:.1f} cores busy; its rate is not this machine's"
        if spread(rates) > 0.2:
            yield f"{name}: rounds differ by {100 * spread(rates):.0f} %"
        void = [item[name]["void"] for item in report["rounds"] if name in item]
        if any(void):
            yield f"{name}: void in {sum(void)} of {len(void)} rounds, the generator itself was late"
        if load["pushed_back"]:
            yield f"{name}: {load['pushed_back']:.0f} requests were answered 429 or 503 and repeated"
    verified = report["verified"]
    if verified is not None:
        yield (
            f"verified: {verified['accepted']} accepted, {verified['collected']} collected, "
            f"{verified['lost']} lost, {verified['twice']} twice"
        )
    yield f"{report['elapsed_s']:.0f} s, {report['machine']['commit']}, {report['at']}"


def _table(title: str, lines: list[Line]) -> Iterator[str]:
    """Yield the lines that have a value, under a title; nothing if none has."""
    known = [(line, line.value) for line in lines if line.value is not None]
    if known:
        yield from ("", title)
    for line, value in known:
        number = f"{_number(value)} {line.unit}"
        yield f"  {line.name:<92} {number:>15}  {line.target:<8} {line.verdict}".rstrip()


def _number(value: float) -> str:
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _rate(load: Mapping[str, Any] | None) -> float | None:
    """Return the rate from accepted to received."""
    return None if load is None else float(load["received_per_s"])


def _ratio(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by


def _deep(value: Mapping[str, Any], *keys: str) -> Any:
    """Return a value inside mappings, or None where one of them lacks the key."""
    found: Any = value
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
