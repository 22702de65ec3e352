"""The inbox as a stream, against an inbox made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.client import AsyncClient, InboxPage, Received, Summary

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def received(name: str) -> Received:
    return Received(
        summary=Summary(
            message_id=name,
            type="x/1",
            precedence="FLASH" if name.startswith("flash") else "ROUTINE",
            sender="US.CBP.NTC",
            addressees=("FR.DGDDI.SARC",),
            conversation_id=name,
            seq=1,
            in_reply_to=None,
            created_at=NOW,
            expires_at=NOW,
            reply_by=None,
            status="",
        ),
        received_at=NOW,
        collected_at=None,
        flags=(),
        in_force=None,
        message={},
        verification=None,
    )


@dataclass(slots=True)
class Box:
    """An inbox: names in order of precedence, then arrival; some arrive while a reader waits behind one."""

    names: list[str]
    arriving: list[str] = field(default_factory=list)
    asked: list[tuple[float, str | None]] = field(default_factory=list)

    def page(self, wait_s: float, limit: int, after: str | None) -> InboxPage:
        self.asked.append((wait_s, after))
        if wait_s and after is not None:
            self.names += self.arriving
        ordered = sorted(self.names, key=lambda name: (not name.startswith("flash"), name))
        if after is not None:
            ordered = [
                name
                for name in ordered
                if (not name.startswith("flash"), name) > (not after.startswith("flash"), after)
            ]
        found = ordered[:limit]
        return InboxPage(messages=tuple(map(received, found)), following=found[-1] if found else after)


class BoxClient(AsyncClient):
    """A client whose pages come from a box."""

    def __init__(self, box: Box) -> None:
        super().__init__("http://127.0.0.1:9", context=None)
        self.box = box

    async def inbox_page(
        self, *, wait_s: float = 0.0, limit: int = 100, after: str | None = None, collected: bool = False
    ) -> InboxPage:
        del collected
        return self.box.page(wait_s, limit, after)


async def test_what_is_not_acknowledged_is_yielded_once() -> None:
    client = BoxClient(Box(["a", "b", "c", "d", "e"]))
    assert [item.message_id async for item in client.inbox(limit=2, follow=False)] == [
        "a",
        "b",
        "c",
        "d",
        "e",
    ]


async def test_an_urgent_message_comes_next_wherever_the_reader_is() -> None:
    client = BoxClient(Box(["a", "b", "c", "d"]))
    seen = []
    async for item in client.inbox(limit=2, follow=False):
        seen.append(item.message_id)
        if item.message_id == "b":
            client.box.names.append("flash 1")
    assert seen == ["a", "b", "flash 1", "c", "d"]


async def test_a_reader_that_acknowledges_waits_at_the_beginning() -> None:
    client = BoxClient(Box(["a"]))
    async for item in client.inbox(wait_s=30):
        client.box.names.remove(item.message_id)
        if item.message_id == "b":
            break
        client.box.names.append("b")
    assert client.box.asked == [(30, None), (30, None)]


async def test_a_reader_that_does_not_acknowledge_waits_behind_what_it_has_but_not_for_long() -> None:
    client = BoxClient(Box(["a"], arriving=["b"]))
    async for item in client.inbox(wait_s=30):
        if item.message_id == "b":
            break
    assert client.box.asked == [(30, None), (30, None), (0.0, "a"), (5.0, "a")]
