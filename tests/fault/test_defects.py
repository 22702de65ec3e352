"""A defect of our own program: it costs the message that meets it, and neither node."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.core.receipt import ExceptionCode
from gateway.node import opening, preparation, reception, second_stage
from gateway.node.defects import UnexaminedError
from gateway.node.posts import Submission
from tests.messages import INVESTIGATORS, intelligence
from tests.world import World

SECRET = "synthetic-secret"
AGENCY = INVESTIGATORS["US"]


def fails_at(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> None:
    """Let a function of a module fail at messages that say the secret, as a defect would."""
    real = getattr(module, name)

    def failing(*arguments: Any, **options: Any) -> Any:
        if SECRET in repr(arguments):
            raise TypeError(SECRET)
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, failing)


def poisoned() -> dict[str, Any]:
    # Where every step sees it, also those that are shown no payload.
    return intelligence("US", **{"from": {"unit": SECRET}})


async def goes_on(world: World) -> None:
    """Check that both nodes still exchange messages."""
    posted = await world.post("US", intelligence("US"), agency=AGENCY)
    await world.until_state("US", posted.message_id, "received", agency=AGENCY)
    await world.settle()
    await world.check()


@pytest.mark.parametrize(
    ("module", "name"),
    [(preparation, "complete"), (second_stage, "examine_thread"), (second_stage, "effects_of")],
)
async def test_a_defect_at_the_sender_refuses_the_message_alone(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: Any,
    name: str,
) -> None:
    fails_at(monkeypatch, module, name)
    principal = world.principal("US", AGENCY)

    drafts = [intelligence("US"), poisoned(), intelligence("US")]
    first, second, third = await world.node("US").admission.submit(
        principal, [Submission(body=orjson.dumps(draft)) for draft in drafts]
    )

    assert isinstance(second, UnexaminedError)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert first.audit_index == third.audit_index
    said = capsys.readouterr().out
    assert "message.unexamined" in said
    assert "TypeError" in said
    assert SECRET not in said
    await goes_on(world)


@pytest.mark.parametrize(
    ("module", "name"), [(opening, "broken_rules"), (reception, "examine_thread"), (reception, "effects_of")]
)
async def test_a_defect_at_the_receiver_excepts_the_message_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    fails_at(monkeypatch, module, name)

    posted = await world.post("US", poisoned(), agency=AGENCY)

    await world.until_state("US", posted.message_id, "refused", agency=AGENCY)
    principal = world.principal("US", AGENCY)
    tracked = await world.node("US").tracking.status(principal, posted.message_id)
    assert tracked.row.exception == ExceptionCode.UNEXAMINED
    await goes_on(world)
