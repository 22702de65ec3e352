"""One number of a report: its name, what is asked of it, whether it holds; and how it is printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One number with what is asked of it.

    Attributes:
        name: What it is.
        value: The number, or None where this run has not measured it.
        unit: Its unit.
        least: It should not be below this.
        most: It should not be above this.
        stretch: What it could be, on the same side of that.
    """

    name: str
    value: float | None
    unit: str = ""
    least: float | None = None
    most: float | None = None
    stretch: float | None = None

    @property
    def verdict(self) -> str:
        """Return ``ok``, ``MISSED`` or ``stretch``; nothing where nothing is asked or measured."""
        if self.value is None or (self.least is None and self.most is None):
            return ""
        low = self.least is not None and self.value < self.least
        high = self.most is not None and self.value > self.most
        if low or high:
            return "MISSED"
        if self.stretch is None:
            return "ok"
        reached = self.value >= self.stretch if self.least is not None else self.value <= self.stretch
        return "stretch" if reached else "ok"

    @property
    def target(self) -> str:
        """Return what is asked of it."""
        if self.least is not None:
            return f">= {number_text(self.least)}"
        return "" if self.most is None else f"<= {number_text(self.most)}"


def table(title: str, lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines that have a value, under a title; nothing if none has."""
    known = [(line, line.value) for line in lines if line.value is not None]
    if known:
        yield from ("", title)
    for line, value in known:
        number = f"{number_text(value)} {line.unit}"
        yield f"  {line.name:<92} {number:>15}  {line.target:<8} {line.verdict}".rstrip()


def target_table(title: str, lines: Sequence[Line]) -> Iterator[str]:
    """Yield all lines under a title, with what has to be, what could be, and the verdict."""
    yield from ("", f"{title:<80} {'measured':>15}  {'must':<10} {'stretch':<10}")
    for line in lines:
        number = "not measured" if line.value is None else f"{number_text(line.value)} {line.unit}"
        stretch = "" if line.stretch is None else number_text(line.stretch)
        yield f"  {line.name:<78} {number:>15}  {line.target:<10} {stretch:<10} {line.verdict}".rstrip()


def number_text(value: float) -> str:
    """Return a number with as many digits as say something."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def rate_of(load: Mapping[str, Any] | None) -> float | None:
    """Return the rate from accepted to received."""
    return None if load is None else float(load["received_per_s"])


def ratio(value: float | None, by: float | None) -> float | None:
    """Return a quotient, or None where one of its sides was not measured."""
    return None if value is None or not by else value / by


def deep(value: Mapping[str, Any], *keys: str) -> Any:
    """Return a value inside mappings, or None where one of them lacks the key."""
    found: Any = value
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
