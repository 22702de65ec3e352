"""Find the catalogue's files and read them once.

The only place that knows where ``schemas/`` lies: inside the installed package, or beside
it in a checkout.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from gateway.core.message.registry import Catalogue, CatalogueError

_PACKAGED = Path(__file__).parent / "_schemas"
_CHECKED_OUT = Path(__file__).parent.parent / "schemas"


def catalogue_folder() -> Path:
    """Return the folder that holds the catalogue of this installation."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKED_OUT


def read_catalogue(folder: Path | None = None) -> Catalogue:
    """Return the catalogue of ``folder``, read once in the life of the process.

    Args:
        folder: A folder laid out like ``schemas/``; None is that of this installation.

    Raises:
        CatalogueError: The folder is absent, or its files are no usable catalogue.
    """
    return _read((catalogue_folder() if folder is None else folder).resolve())


@lru_cache(maxsize=8)
def _read(folder: Path) -> Catalogue:
    """Read the files of an absolute folder."""
    try:
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*.json"))
            if path.parent.name != "examples"
        }
    except OSError as error:
        msg = f"the catalogue in {folder} cannot be read"
        raise CatalogueError(msg) from error
    if not files:
        msg = f"{folder} holds no catalogue"
        raise CatalogueError(msg)
    return Catalogue.from_files(files)
