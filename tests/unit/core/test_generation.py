"""Generations have names, and places that tell them apart."""

from __future__ import annotations

import pytest

from gateway.core.generation import (
    MAX_GENERATION,
    STRIDE,
    first_of,
    first_place,
    generation_at,
    generation_of,
    located,
    origin_of,
    predecessor_of,
)

FIRST = "fr.gateway.test/exchange/us"


@pytest.mark.parametrize("generation", [1, 2, 9, 10, 11, 99, 100, MAX_GENERATION])
def test_a_generation_is_found_again_by_its_name(generation: int) -> None:
    origin = origin_of(FIRST, generation)
    assert generation_of(FIRST, origin) == generation
    assert first_of(origin) == FIRST
    assert predecessor_of(origin) == (None if generation == 1 else origin_of(FIRST, generation - 1))


@pytest.mark.parametrize(
    "origin",
    [
        f"{FIRST}/1",
        f"{FIRST}/0",
        f"{FIRST}/02",
        f"{FIRST}/2/2",
        f"{FIRST}/x",
        f"{FIRST}2",
        f"{FIRST}/",
        f"{FIRST}/{MAX_GENERATION + 1}",
        "fr.gateway.test/exchange",
        "us.gateway.test/exchange/fr/2",
    ],
)
def test_another_name_is_no_generation(origin: str) -> None:
    assert generation_of(FIRST, origin) is None


@pytest.mark.parametrize("generation", [1, 2, 77, MAX_GENERATION])
@pytest.mark.parametrize("index", [0, 1, STRIDE - 1])
def test_a_place_is_one_index_of_one_generation_and_fits_into_63_bits(generation: int, index: int) -> None:
    place = first_place(generation) + index
    assert generation_at(place) == generation
    assert located(FIRST, place) == (origin_of(FIRST, generation), index)
    assert place < 2**63
    assert generation > 1 or place == index
