"""The folder that a nation brings: one exported log, or several in folders below it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.audit.folder import FolderError, LogFolder, shown
from gateway.core.tiles import CHECKPOINT_PATH

MAX_LOGS: Final = 64


def exported_logs(folder: Path) -> list[tuple[str, LogFolder]]:
    """Return the logs in a folder with what to call each: itself, or its direct subfolders.

    Raises:
        FolderError: There is none, or there are too many.
    """
    if (folder / CHECKPOINT_PATH).exists():
        return [(shown(folder.resolve().name), LogFolder(folder))]
    try:
        found = sorted(path for path in folder.iterdir() if (path / CHECKPOINT_PATH).exists())
    except OSError as error:
        msg = f"{shown(folder.name)} cannot be listed"
        raise FolderError(msg) from error
    if not 1 <= len(found) <= MAX_LOGS:
        msg = f"{shown(folder.name)} holds no exported log, or more than {MAX_LOGS}"
        raise FolderError(msg)
    return [(shown(f"{folder.name}/{path.name}"), LogFolder(path)) for path in found]
