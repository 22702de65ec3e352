"""The catalogue is found beside the code and read once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gateway.catalogue import catalogue_folder, read_catalogue, read_lists
from gateway.core.message.reference_lists import ReferenceListError
from gateway.core.message.registry import CatalogueError
from gateway.core.message.warning import LISTS


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


# --- reference lists --------------------------------------------------------------------------


def test_the_installation_has_every_list_that_is_looked_up() -> None:
    lists = read_lists()
    assert sorted(lists) == sorted(LISTS)
    assert len(lists["unlocode"]) > 100_000
    assert len(lists["hs"]) == 5_612


def test_lists_belong_to_no_digest(tmp_path: Path) -> None:
    copy = tmp_path / "schemas"
    shutil.copytree(catalogue_folder(), copy)
    shutil.rmtree(copy / "lists")
    (copy / "lists").mkdir()
    (copy / "lists" / "hs.json").write_text("no list at all")

    assert read_catalogue(copy).digest == read_catalogue().digest


def newer(folder: Path, name: str, **changes: object) -> None:
    folder.mkdir(exist_ok=True)
    document = json.loads((catalogue_folder() / "lists" / "hs.json").read_bytes())
    (folder / name).write_text(json.dumps({**document, **changes}))


def test_a_list_is_refreshed_by_putting_a_file_in_place(tmp_path: Path) -> None:
    newer(tmp_path / "lists", "hs.json", edition="2028", groups={"01": "0121"})

    lists = read_lists(tmp_path / "lists")

    assert lists["hs"].edition.name == "2028"
    assert not lists["hs"].lacks("01", "0121")
    assert lists["unlocode"].edition.name == read_lists()["unlocode"].edition.name


def test_a_folder_for_newer_lists_need_not_be_there(tmp_path: Path) -> None:
    assert sorted(read_lists(tmp_path / "absent")) == sorted(LISTS)


@pytest.mark.parametrize(
    ("name", "changes"), [("hs.json", {"complete": "no"}), ("HS.json", {}), ("hs-2028.json", {})]
)
def test_a_file_that_is_no_list_is_refused_with_its_name(
    tmp_path: Path, name: str, changes: dict[str, object]
) -> None:
    newer(tmp_path / "lists", name, **changes)
    with pytest.raises(ReferenceListError, match=name.removesuffix(".json")):
        read_lists(tmp_path / "lists")
