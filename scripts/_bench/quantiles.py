"""Numbers about numbers: quantiles that say what they rest on, and medians of rounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from statistics import median
from typing import Any

QUANTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "p999": 0.999}


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    It is always a value that was measured (nearest rank), never one in between.

    Args:
        ordered: At least one value, in ascending order.
        share: Above 0, at most 1.
    """
    # The rounding takes off what binary fractions add: 0.07 * 100 is no more than 7.
    rank = math.ceil(round(share * len(ordered), 6))
    return ordered[max(rank, 1) - 1]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return count, mean, quantiles and maximum; nothing but the count where there are no values."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    result: dict[str, float] = {"count": len(ordered), "mean": math.fsum(ordered) / len(ordered)}
    result |= {name: quantile(ordered, share) for name, share in QUANTILES.items()}
    result["max"] = ordered[-1]
    return result


def median_of(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the median of each number of several rounds, at every depth.

    A number that only some rounds have is the median of those; texts and lists are those
    of the last round; truths hold if they held in every round.
    """
    result: dict[str, Any] = {}
    for key in dict.fromkeys(key for item in rounds for key in item):
        values = [item[key] for item in rounds if key in item and item[key] is not None]
        if not values:
            result[key] = None
        elif all(isinstance(value, Mapping) for value in values):
            result[key] = median_of(values)
        elif all(isinstance(value, bool) for value in values):
            result[key] = all(values)
        elif all(isinstance(value, int | float) for value in values):
            result[key] = median(values)
        else:
            result[key] = values[-1]
    return result


def side_by_side(
    rounds: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what two parts measured, round by round; one of them may have run fewer."""
    nothing: Mapping[str, Any] = {}
    return [{**one, **other} for one, other in zip_longest(rounds, others, fillvalue=nothing)]


def spread(values: Sequence[float]) -> float:
    """Return how far the values lie apart, as a share of their median; 0 for fewer than two."""
    middle = median(values) if values else 0.0
    return (max(values) - min(values)) / middle if middle else 0.0
