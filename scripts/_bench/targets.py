"""What is asked of two nodes on two cores: one row each, with what has to be and what could be.

The rates and latencies hold for the machine that they are measured on; everything else is a
ratio, a size or a count. A run with smaller counts (``--quick``) says in the row with how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from scripts._bench.lines import Line, deep, rate_of, ratio

MB: Final = 1_000_000
KIB: Final = 1_024


def targets(report: Mapping[str, Any]) -> list[Line]:
    """Return every row, also those that this run has not measured."""
    medians = report["medians"]
    return [
        *_rates(medians),
        *_latencies(medians),
        *_backlog(report["backlog"] or {}, rate_of(medians.get("bulk"))),
        *_sizes(report, medians),
        *_growth(report["growth"] or {}),
        *_distance(report["distance"] or {}),
    ]


def _rates(medians: Mapping[str, Any]) -> list[Line]:
    bulk, blocks = medians.get("bulk") or {}, medians.get("blocks") or {}
    return [
        # The slower of the two: what was received has to be collected as well.
        Line(
            name="bulk, accepted to received and collected",
            value=_slower(bulk),
            unit="msg/s",
            least=8_000,
            stretch=15_000,
        ),
        Line(
            name="one POST a message, 128 connections",
            value=_slower(medians.get("single") or {}),
            unit="msg/s",
            least=2_500,
            stretch=5_000,
        ),
        Line(
            name="CPU of both nodes a message, bulk / twice JSON decoding and schema",
            value=ratio(deep(bulk, "cpu_us_per_message", "both_nodes"), blocks.get("parsing_us")),
            most=12,
            stretch=7,
        ),
    ]


def _latencies(medians: Mapping[str, Any]) -> list[Line]:
    rows = (
        ("receipt at 200/s, single", "open-200", {"p50": (20, 10), "p99": (45, 25)}),
        ("receipt at 3,000/s, bulk", "open-3000-bulk", {"p50": (30, 15), "p99": (80, 40)}),
    )
    return [
        Line(
            # From the due time: what waited for a connection has waited for its receipt as well.
            name=f"{text}, {share}",
            value=deep(medians.get(load) or {}, "due_to_received_ms", share),
            unit="ms",
            most=must,
            stretch=stretch,
        )
        for text, load, asked in rows
        for share, (must, stretch) in asked.items()
    ]


def _backlog(backlog: Mapping[str, Any], bulk: float | None) -> list[Line]:
    count = f"{backlog['messages']:,}" if backlog else "1,000,000"
    peaks = [backlog.get(f"memory_peak_{name}_bytes") for name in ("accepting", "draining")]
    peak = max((value for value in peaks if value is not None), default=None)
    return [
        Line(
            name=f"FLASH behind a backlog of {count}, p99 to the receipt",
            value=deep(backlog, "flash_accepted_to_received_ms", "p99"),
            unit="ms",
            most=100,
            stretch=50,
        ),
        Line(
            name=f"memory of a node with a backlog of {count}, peak",
            value=ratio(peak, MB),
            unit="MB",
            most=300,
            stretch=200,
        ),
        Line(
            name=f"drain of a backlog of {count} / bulk rate",
            value=ratio(backlog.get("drained_per_s"), bulk),
            least=0.8,
            stretch=0.95,
        ),
    ]


def _sizes(report: Mapping[str, Any], medians: Mapping[str, Any]) -> list[Line]:
    plain, refused = medians.get("plain") or {}, medians.get("refused") or {}
    return [
        Line(
            name="disk a message at rest, both nodes, beyond the ciphertext",
            value=ratio(deep(report["disk"] or {}, "beyond_ciphertexts"), KIB),
            unit="KiB",
            most=1.5,
            stretch=1.0,
        ),
        Line(
            name="CPU of an invalid message / of a valid one, at the node that it is posted to",
            value=ratio(
                deep(refused, "cpu_us_per_message", "node_fr"), deep(plain, "cpu_us_per_message", "node_fr")
            ),
            most=1.0,
        ),
    ]


def _growth(growth: Mapping[str, Any]) -> list[Line]:
    count = f"{growth['entries']:,}" if growth else "10,000,000"
    append = growth.get("append_us", {})
    return [
        Line(
            name=f"append with a log of {count} entries / with a short one (CPU of both nodes)",
            value=ratio(append.get("long"), append.get("short")),
            most=1.1,
            stretch=1.0,
        ),
        Line(
            name=f"start of a node with {count} entries, until it is ready",
            value=deep(growth, "start_s", "long"),
            unit="s",
            most=5,
            stretch=2,
        ),
    ]


def _distance(distance: Mapping[str, Any]) -> list[Line]:
    rates = distance.get("received_per_s", {})
    return [
        Line(
            name="bulk with 90 ms to the peer and back / without",
            value=ratio(rates.get("far"), rates.get("near")),
            least=0.8,
            stretch=0.95,
        )
    ]


def _slower(load: Mapping[str, Any]) -> float | None:
    """Return the rate of the last step that was measured: received, or collected if it is slower."""
    found = [load[key] for key in ("received_per_s", "collected_per_s") if load.get(key) is not None]
    return min(found, default=None)
