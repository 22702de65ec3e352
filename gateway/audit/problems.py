"""What is wrong with one aspect of a log: how often, and where it begins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Problems:
    """What is wrong with one aspect of a log: the first of it, and how much more there is."""

    count: int = 0
    first: str = ""

    def add(self, index: int, what: str) -> None:
        """Note that the entry at ``index`` is wrong; ``what`` continues "entry 7 …"."""
        self.count += 1
        self.first = self.first or f"entry {index} {what}"

    def text(self) -> str:
        """Return the first problem, and how many more there are."""
        return self.first if self.count < 2 else f"{self.first} (and {self.count - 1} more)"
