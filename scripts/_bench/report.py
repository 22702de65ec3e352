"""What a run says, for people and for programs."""

from __future__ import annotations

from typing import Any

from scripts._bench.parts import Options
from scripts._bench.quantiles import median_of


def make_report(options: Options, loads: dict[str, Any], *, elapsed_s: float) -> dict[str, Any]:
    """Return everything a run has measured."""
    del options
    return {
        "elapsed_s": elapsed_s,
        "medians": median_of(loads["rounds"]),
        "rounds": loads["rounds"],
        "disk": loads["disk"],
        "verified": loads.get("verified"),
    }


def print_report(report: dict[str, Any]) -> None:
    """Print it for people."""
    for name, load in report["medians"].items():
        cpu = load["cpu_us_per_message"]
        print(
            f"{name:16} accepted {load['accepted_per_s']:7.0f}/s  received {load['received_per_s']:7.0f}/s"
            f"  collected {load['collected_per_s'] or 0:7.0f}/s"
        )
        print("   CPU µs/message  ", "  ".join(f"{key} {value:.2f}" for key, value in cpu.items()))
        for key in ("answer_ms", "accepted_to_received_ms", "due_to_received_ms", "bundle_messages"):
            if load.get(key, {}).get("count"):
                values = "  ".join(f"{k} {v:.1f}" for k, v in load[key].items())
                print(f"   {key:24} {values}")
        print("   link bytes/message", load["link_bytes_per_message"])
    print(report["disk"], report["verified"])
