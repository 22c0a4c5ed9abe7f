"""What holds for all tests."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from deploy.local import Deployment

# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("trinity", deadline=None)
settings.load_profile("trinity")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Deployment]":
    """The system as it is deployed from its templates, to a local AWS that is started here.

    `TRINITY_ACCEPTANCE_STAGE` names a stage that was deployed already instead: to the local AWS
    that `TRINITY_CLOUD_ENDPOINT` names, or, if that is not set, to the account that the credentials
    of this machine are of.
    """
    from deploy.stages import STAGES

    from deploy import cloud

    stage = os.environ.get("TRINITY_ACCEPTANCE_STAGE")
    if stage is not None:
        yield cloud.deployed(STAGES[stage], os.environ.get("TRINITY_CLOUD_ENDPOINT"))
        return
    folder = tmp_path_factory.mktemp("cloud")
    with cloud.running(STAGES["dev"], folder, RATE_LIMITS="off") as deployment:
        yield deployment
