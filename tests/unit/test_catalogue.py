"""The catalogue is found beside the code and read once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.registry import CatalogueError


def test_the_catalogue_of_the_installation_is_read_once() -> None:
    assert read_catalogue() is read_catalogue()
    assert read_catalogue(catalogue_folder()) is read_catalogue()


def test_another_folder_gives_the_same_digest_for_the_same_files(tmp_path: Path) -> None:
    copy = tmp_path / "schemas"
    shutil.copytree(catalogue_folder(), copy)

    assert read_catalogue(copy).digest == read_catalogue().digest


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="holds no catalogue"):
        read_catalogue(tmp_path / "absent")
