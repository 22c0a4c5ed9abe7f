"""Where the scenarios are played: on a server that is started here, or on one that runs elsewhere.

`TRINITY_ACCEPTANCE_URL` names one that runs already, with its rate limits off.
"""

import os
from collections.abc import Iterator

import pytest

from tests.acceptance.scenarios import Host, World
from tests.server import Server, running


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on this machine, for what needs a look at its files."""
    with running(tmp_path_factory.mktemp("embedded"), RATE_LIMITS="off") as server:
        yield server


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Host:
    """Where scenarios are played."""
    url = os.environ.get("TRINITY_ACCEPTANCE_URL")
    return Host(url or request.getfixturevalue("embedded").base_url)


@pytest.fixture
def world(host: Host) -> World:
    """People and rooms that no other test knows."""
    return host.world()
