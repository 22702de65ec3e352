"""Find the files of catalogue and reference lists, and read them once.

The only place that knows where ``schemas/`` lies: inside the installed package, or beside
it in a checkout.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from gateway.core.message.reference_lists import (
    LIST_FILE,
    SCHEMA_PATH,
    ReferenceList,
    ReferenceListError,
    ReferenceLists,
    list_checker,
    read_reference_list,
)
from gateway.core.message.registry import LISTS_FOLDER, Catalogue, CatalogueError

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
            if path.parent.name != "examples" and not path.is_relative_to(folder / LISTS_FOLDER)
        }
    except OSError as error:
        msg = f"the catalogue in {folder} cannot be read"
        raise CatalogueError(msg) from error
    if not files:
        msg = f"{folder} holds no catalogue"
        raise CatalogueError(msg)
    return Catalogue.from_files(files)


def read_lists(folder: Path | None = None) -> ReferenceLists:
    """Return the reference lists by name: those of the installation, and those that replace them.

    Args:
        folder: Where an operator keeps newer ones, ``NAME.json``; it may be absent or None.

    Raises:
        ReferenceListError: A list cannot be read, or is none.
    """
    newer = {} if folder is None else _lists_in(folder)
    return MappingProxyType({**_installed_lists(), **newer})


@lru_cache(maxsize=1)
def _installed_lists() -> ReferenceLists:
    """Read the lists of this installation once; those of an operator may change."""
    return _lists_in(catalogue_folder() / LISTS_FOLDER)


def _lists_in(folder: Path) -> dict[str, ReferenceList]:
    """Read every list of a folder."""
    checker = list_checker((catalogue_folder() / SCHEMA_PATH).read_bytes())
    lists = {}
    for path in sorted(folder.glob("*.json")):
        name = LIST_FILE.fullmatch(path.name)
        if name is None:
            msg = f"{path}: the name of a list is of a-z, 0-9 and _"
            raise ReferenceListError(msg)
        try:
            content = path.read_bytes()
        except OSError as error:
            msg = f"{path} cannot be read"
            raise ReferenceListError(msg) from error
        lists[name[1]] = read_reference_list(str(path), content, checker)
    return lists
