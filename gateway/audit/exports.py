"""The folder that a nation brings: one exported log, or several in folders below it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gateway.audit.folder import FolderError, LogFolder, shown
from gateway.core.tiles import CHECKPOINT_PATH

MAX_LOGS: Final = 64


def exported_logs(folder: Path) -> list[tuple[str, LogFolder]]:
    """Return the logs in a folder with what to call each: itself, or its direct subfolders.

    A subfolder with tiles is a log even if its checkpoint is gone: it is not verified then, and not
    passed over.

    Raises:
        FolderError: There is none, or there are too many.
    """
    if _is_log(folder):
        return [(shown(folder.resolve().name), LogFolder(folder))]
    try:
        found = sorted(path for path in folder.iterdir() if _is_log(path))
    except OSError as error:
        msg = f"{shown(folder.name)} cannot be listed"
        raise FolderError(msg) from error
    if not 1 <= len(found) <= MAX_LOGS:
        msg = f"{shown(folder.name)} holds no exported log, or more than {MAX_LOGS}"
        raise FolderError(msg)
    return [(shown(f"{folder.name}/{path.name}"), LogFolder(path)) for path in found]


def _is_log(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in (CHECKPOINT_PATH, "tile"))
