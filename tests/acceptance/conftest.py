"""Where the scenarios are played: on the embedded host, and on AWS.

The AWS is that of tests/conftest.py. `TRINITY_ACCEPTANCE_URL` names an embedded host that runs
already, with its rate limits off.
"""

import os
from collections.abc import Generator, Iterator

import pytest

from tests.acceptance.scenarios import Host, World
from tests.server import Server, running

_LINES_OF_LOG = 15
_SERVER = pytest.StashKey[Server]()

ON_AWS = ("accounts", "decks", "events", "matches", "reports", "results", "rooms", "votes")
"""Files whose tests are played on AWS, too. What the others try belongs to the embedded host: its
gateway, its WebSockets, its command line."""


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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test have every host that it is true on."""
    if "host" not in metafunc.fixturenames:
        return
    hosts = ["embedded"]
    name = metafunc.module.__name__.rpartition("test_")[2]
    on_aws = name in ON_AWS or metafunc.definition.get_closest_marker("on_aws") is not None
    if on_aws and metafunc.definition.get_closest_marker("one_process") is None:
        hosts.append("aws")
    metafunc.parametrize("host", hosts, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out scenarios that are not true where many processes work."""
    items[:] = [item for item in items if not _is_out_of_place(item)]


def _is_out_of_place(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    scenario = parameters.get("scenario")
    if parameters.get("host") != "aws" or scenario is None:
        return False
    # The local AppSync does not say of which kind the error of a function was.
    by_graphql = item.path.name == "test_graphql.py"
    return scenario.one_process or (by_graphql and scenario.refuses)


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Host:
    """Where scenarios are played."""
    if request.param == "aws":
        deployment = request.getfixturevalue("cloud")
        return Host(deployment.url, deployment.graphql_url, one_process=False)
    url = os.environ.get("TRINITY_ACCEPTANCE_URL")
    return Host(url or request.getfixturevalue("embedded").base_url)


@pytest.fixture
def world(host: Host) -> World:
    """People and rooms that no other test knows."""
    return host.world()
