"""The artefacts of this working tree, built once for all tests."""

from pathlib import Path
from typing import NamedTuple

import pytest
from deploy.artefacts import AWS, HERE, Artefacts, Target, build


class Built(NamedTuple):
    """What was built, and where it is."""

    target: Target
    folder: Path
    artefacts: Artefacts


@pytest.fixture(scope="session")
def to(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artefacts")


@pytest.fixture(scope="session")
def here(to: Path) -> Built:
    return Built(HERE, to / HERE.name, build(HERE, to=to))


@pytest.fixture(scope="session")
def aws(to: Path) -> Built:
    return Built(AWS, to / AWS.name, build(AWS, to=to))
