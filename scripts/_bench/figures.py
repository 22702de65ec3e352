"""The numbers of a run, line by line: ratios, which hold on any machine, then everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scripts._bench.blocks import CORES, limit_us
from scripts._bench.lines import Line, deep, rate_of, ratio

MIB: Final = 1_048_576

LEAST_RATES: Final = {"bulk": 3_000, "single": 1_200}
"""Messages a second, accepted to received, that two cores should carry: all processes together."""

IDLE_MS: Final = 30
"""Median from accepted to received that an idle pair should keep."""

IDLE: Final = ("open-5", "accepted_to_received_ms", "p50")
"""Where that median stands in a report."""

PROCESSES: Final = (
    "node_fr",
    "node_fr_system",
    "crew_fr",
    "node_us",
    "node_us_system",
    "crew_us",
    "generator",
    "consumer",
)
OPEN: Final = ("open-5", "open-200", "open-1000", "open-3000-bulk", "open-200-real")
LOADS: Final = ("bulk", "single", "both", "plain", "real", "refused", *OPEN)


def ratios(report: Mapping[str, Any]) -> list[Line]:
    """Return what holds on any machine."""
    medians = report["medians"]
    blocks, bulk, single = (medians.get(name) for name in ("blocks", "bulk", "single"))
    apart = {} if blocks is None else blocks["apart"]
    rate, single_rate = rate_of(bulk), rate_of(single)
    nodes_us = None if bulk is None else bulk["cpu_us_per_message"]["both_nodes"]
    limit = None
    if blocks is not None and bulk is not None:
        limit = limit_us(blocks, bulk["bundle_messages"].get("mean", 1.0))
    drained = None if report["backlog"] is None else report["backlog"]["drained_per_s"]
    return [
        Line(
            name="bulk rate / each message signed and sealed, each receipt signed (MLKEM768_X25519)",
            value=ratio(rate, deep(apart, "mlkem768_x25519", "per_s_on_2_cores")),
            least=5,
        ),
        Line(
            name="bulk rate / the same with the exchange's own KEM (MLKEM1024_P384)",
            value=ratio(rate, deep(apart, "mlkem1024_p384", "per_s_on_2_cores")),
            least=5,
        ),
        Line(
            name="bulk rate / each message signed and sealed, without receipt (MLKEM768_X25519)",
            value=ratio(rate, deep(apart, "mlkem768_x25519_without_receipt", "per_s_on_2_cores")),
        ),
        Line(
            name="bulk CPU of both nodes / the same work in bare building blocks",
            value=ratio(nodes_us, limit),
        ),
        Line(
            name="bulk CPU of both nodes / twice JSON decoding and schema alone",
            value=ratio(nodes_us, None if blocks is None else blocks["parsing_us"]),
        ),
        Line(
            name="schema and all stateless rules / JSON decoding and schema alone (orjson, jsonschema-rs)",
            value=deep(blocks or {}, "over_libraries", "schema_and_rules"),
            most=6,
        ),
        Line(
            name="strict JSON / JSON decoding alone (orjson)",
            value=deep(blocks or {}, "over_libraries", "strict_json"),
            most=4,
        ),
        Line(name="single rate / bulk rate", value=ratio(single_rate, rate)),
        Line(name="drain of a backlog / bulk rate", value=ratio(drained, rate)),
    ]


def numbers(report: Mapping[str, Any]) -> list[Line]:
    """Return rates, latencies and sizes, with what the project asks of them on two cores."""
    medians = report["medians"]
    lines = [
        Line(
            name=f"{name}: {step}",
            value=deep(medians.get(name) or {}, f"{step}_per_s"),
            unit="msg/s",
            least=LEAST_RATES.get(name) if step == "received" else None,
        )
        for name in ("bulk", "single", "both")
        for step in ("accepted", "received", "collected")
    ]
    for name in OPEN:
        load = medians.get(name)
        for key, text in (
            ("answer_ms", "202"),
            ("accepted_to_received_ms", "accepted to received"),
            ("due_to_received_ms", "due to received"),
        ):
            lines += [
                Line(
                    name=f"{name}: {text}, {share.replace('p999', 'p99.9')}",
                    value=deep(load or {}, key, share),
                    unit="ms",
                    most=IDLE_MS if (name, key, share) == IDLE else None,
                )
                for share in ("p50", "p99", "p999")
            ]
    for name in LOADS:
        lines += [
            Line(
                name=f"{name}: CPU of {process}",
                value=deep(medians.get(name) or {}, "cpu_us_per_message", process),
                unit="us/msg",
            )
            for process in PROCESSES
            # Nodes have a crew only if that was asked for.
            if not process.startswith("crew") or deep(medians.get(name) or {}, "cpu_us_per_message", process)
        ]
        lines += _work_lines(name, medians.get(name) or {})
    lines += [
        Line(
            name="bulk: bytes between the nodes",
            value=deep(medians.get("bulk") or {}, "link_bytes_per_message"),
            unit="B/msg",
        ),
        Line(name="disk, both nodes", value=deep(report["disk"] or {}, "both_nodes"), unit="B/msg"),
        Line(
            name="disk beyond ciphertexts",
            value=deep(report["disk"] or {}, "beyond_ciphertexts"),
            unit="B/msg",
        ),
    ]
    for nation in ("FR", "US"):
        peak = deep(medians.get("bulk") or {}, "memory_peak_bytes", nation)
        lines.append(Line(name=f"memory peak of node_{nation.lower()}", value=ratio(peak, MIB), unit="MiB"))
    return [
        *lines,
        *_block_lines(medians),
        *_backlog_lines(report["backlog"] or {}),
        *_growth_lines(report["growth"] or {}),
        *_distance_lines(report["distance"] or {}),
    ]


def _work_lines(name: str, load: Mapping[str, Any]) -> list[Line]:
    """Return how busy a load kept the machine, and how often the nodes signed and synced."""
    lines = [
        Line(
            name=f"{name}: cores that the run kept busy",
            value=deep(load, "cpu_us_per_message", "cores_of_run"),
        ),
        Line(name=f"{name}: messages a bundle", value=deep(load, "bundle_messages", "mean")),
    ]
    for nation in ("FR", "US"):
        node = f"node_{nation.lower()}"
        lines += [
            Line(
                name=f"{name}: bundles signed by {node}",
                value=deep(load, "bundles", nation, "per_s"),
                unit="/s",
            ),
            Line(name=f"{name}: commits of {node}", value=deep(load, "commits_per_s", nation), unit="/s"),
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
        Line(name="blocks: that many on two cores", value=ratio(CORES * 1e6, limit), unit="msg/s"),
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
        name: ratio(backlog.get(f"memory_{name}_bytes"), MIB)
        for name in ("empty", "before", "after", "peak_accepting", "peak_draining", "peak_receiver")
    }
    flash = backlog.get("flash_accepted_to_received_ms", {})
    return [
        Line(name="backlog: messages", value=backlog.get("messages")),
        Line(name="backlog: of these, posted to the node", value=backlog.get("accepted")),
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


def _growth_lines(growth: Mapping[str, Any]) -> list[Line]:
    lines = [
        Line(name="growth: entries of the long log", value=growth.get("entries")),
        Line(name="growth: the long log was made in", value=growth.get("made_s"), unit="s"),
        Line(
            name="growth: database of the long log's node",
            value=growth.get("log_bytes_per_entry"),
            unit="B/entry",
        ),
    ]
    for name in ("short", "long"):
        lines += [
            Line(name=f"growth: start, {name} log", value=deep(growth, "start_s", name), unit="s"),
            Line(
                name=f"growth: CPU of a start, {name} log", value=deep(growth, "start_cpu_s", name), unit="s"
            ),
            Line(name=f"growth: append, {name} log", value=deep(growth, "append_us", name), unit="us/msg"),
            Line(
                name=f"growth: memory peak of node_fr, {name} log",
                value=ratio(deep(growth, "memory_peak_bytes", name, "FR"), MIB),
                unit="MiB",
            ),
        ]
    return lines


def _distance_lines(distance: Mapping[str, Any]) -> list[Line]:
    return [
        Line(name=f"distance: received, {name}", value=deep(distance, "received_per_s", name), unit="msg/s")
        for name in ("near", "far")
    ]
