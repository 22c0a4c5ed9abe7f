"""Where the scenarios are played: on a server that is started here, or on one that runs elsewhere.

`TRINITY_ACCEPTANCE_URL` names one that runs already, with its rate limits off.
"""

import os
from collections.abc import Generator, Iterator

import pytest

from tests.acceptance.scenarios import Host, World
from tests.server import Server, running

_LINES_OF_LOG = 15
_SERVER = pytest.StashKey[Server]()


@pytest.fixture(scope="session")
def embedded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server on this machine, for what needs a look at its files."""
    with running(tmp_path_factory.mktemp("embedded"), RATE_LIMITS="off") as server:
        request.session.stash[_SERVER] = server
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the server wrote last beside a test that failed."""
    report = yield
    server = item.session.stash.get(_SERVER, None)
    if report.failed and server is not None:
        lines = server.log.splitlines()[-_LINES_OF_LOG:]
        report.sections.append(("The server's log", "\n".join(lines)))
    return report


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Host:
    """Where scenarios are played."""
    url = os.environ.get("TRINITY_ACCEPTANCE_URL")
    return Host(url or request.getfixturevalue("embedded").base_url)


@pytest.fixture
def world(host: Host) -> World:
    """People and rooms that no other test knows."""
    return host.world()
