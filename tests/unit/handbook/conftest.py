from __future__ import annotations

import pytest

from gateway.catalogue import catalogue_folder, read_catalogue
from gateway.core.message.registry import Catalogue
from gateway.handbook import Handbook


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return read_catalogue()


@pytest.fixture(scope="session")
def book(catalogue: Catalogue) -> Handbook:
    return Handbook(catalogue, catalogue_folder())
