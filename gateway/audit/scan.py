"""What laying two exports side by side keeps of each entry: seven bytes.

Answers name messages by their places. So of each entry the kind is kept, and of each message
to whom it is addressed, as the number of a list of agencies: there are few of those. Of its id four
bytes are kept, by which entries of one message are found (`gateway.audit.again`).

Spec: docs/auditing.md, "Two nations side by side".
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

from gateway.audit.contents import LogContents
from gateway.audit.reader import LogReader, read_header
from gateway.core.entries import Entry, MessageEntry, kind_of
from gateway.core.envelope import TO_AGENCIES

MAX_LISTS: Final = 65_535
"""Different lists of addressees that are told apart; the messages of further ones are looked up."""


class Scan(LogContents):
    """Keeps of each entry its kind, and of each message to whom it is addressed.

    Attributes:
        entry_kinds: The kind of each entry, a byte; 0 for what is none.
    """

    def __init__(self, origin: str) -> None:
        """Begin with a log that has no entries."""
        super().__init__(origin)
        self.entry_kinds = bytearray()
        self._lists: dict[tuple[str, ...], int] = {}
        self._list_of = array("H")

    def read(self, entries: Sequence[bytes]) -> None:
        """Read the next entries."""
        self.entry_kinds += bytes(map(kind_of, entries))
        self._list_of.frombytes(bytes(self._list_of.itemsize * len(entries)))
        super().read(entries)

    def read_headers(
        self, entries: Sequence[Entry | None], headers: Sequence[tuple[Any, ...] | None]
    ) -> None:
        """Read the headers of the next entries, and keep to whom messages are addressed."""
        lists, list_of = self._lists, self._list_of
        of_messages = iter(headers)
        for index, entry in enumerate(entries, self.size):
            if entry is None:
                self.entry_kinds[index] = 0
            if type(entry) is not MessageEntry:
                continue
            header = next(of_messages)
            if header is None:
                continue
            if len(lists) < MAX_LISTS:
                # 0 stands for a list that has no number.
                list_of[index] = lists.setdefault(header[TO_AGENCIES], len(lists) + 1)

    def addressees(self) -> Addressees:
        """Return to whom the messages are addressed that were read so far."""
        return Addressees(self._list_of, [(), *self._lists])


class Addressees:
    """To whom the messages of a log are addressed."""

    def __init__(self, list_of: array[int], lists: Sequence[tuple[str, ...]]) -> None:
        """Keep the number of each entry's list, and the lists by number; 0 is none."""
        self._list_of = list_of
        self._lists = lists

    def include(self, agency: str, index: int, reader: LogReader) -> bool:
        """Return whether a message is addressed to an agency."""
        number = self._list_of[index]
        if number:
            return agency in self._lists[number]
        header = read_header(reader.entry(index))
        return header is not None and agency in header.to_agencies


class Unread:
    """Entries that a fuller copy of their log answers for."""

    def __init__(self, _origin: str) -> None:
        """Begin; nothing is kept."""

    def read(self, entries: Sequence[bytes]) -> None:
        """Leave the next entries unread."""
