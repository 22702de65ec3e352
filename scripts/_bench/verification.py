"""The last word of a run: nothing accepted was lost, nothing was delivered twice.

The generator's list of what it was promised is compared with the consumer's list of what
it got; neither comes from the nodes.
"""

from __future__ import annotations

from typing import Any

from scripts._bench.loads import LoadError, Stage


def verify(stage: Stage) -> dict[str, Any]:
    """Check that what was accepted was collected, all of it and none of it twice.

    Raises:
        LoadError: It is not so.
    """
    report = stage.collected()
    folder = stage.nodes.folder
    accepted = (folder / "accepted.txt").read_text(encoding="ascii").split()
    collected = (folder / "collected.txt").read_text(encoding="ascii").split()
    lost, strange = set(accepted) - set(collected), set(collected) - set(accepted)
    repeated = len(collected) - len(set(collected)) + report["twice"]
    result = {
        "accepted": len(accepted),
        "collected": len(collected),
        "lost": len(lost),
        "never_accepted": len(strange),
        "twice": repeated,
    }
    if lost or strange or repeated:
        msg = f"accepted is not what was collected: {result}"
        raise LoadError(msg)
    return result
