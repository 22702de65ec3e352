"""One engine, one image and one pair of nodes for all tests in containers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.acceptance.engine import NoEngineError, build_image, provide_base_image, run, running_engine
from tests.acceptance.stack import ROOT, Stack, require_compose


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """Have an engine with the base image, or say why there is none."""
    with ExitStack() as stack:
        try:
            stack.enter_context(running_engine())
            require_compose()
            with ThreadPoolExecutor() as pool:
                wheels = pool.submit(run, ROOT / "scripts" / "wheelhouse", timeout=600)
                provide_base_image()
                wheels.result()
        except NoEngineError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error))
            pytest.skip(str(error))
        yield


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[str]:
    """Build the image as a user does, offline."""
    name = f"entente-test:{os.getpid()}"
    build_image(ROOT, name)
    yield name
    run("docker", "image", "rm", "--force", name, check=False)


@pytest.fixture(scope="session")
def stack(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Bring both nodes and their agencies up; take everything down afterwards."""
    made = Stack(tmp_path_factory.mktemp("stack"), image=image)
    try:
        made.up()
        yield made
    finally:
        made.down()
