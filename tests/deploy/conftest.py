"""Artefacts and templates of this working tree, made once for all tests."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from deploy.app import synthesise
from deploy.artefacts import AWS, HERE, Artefacts, Target, build
from deploy.stages import STAGES


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


class Assembly(NamedTuple):
    """Templates as CloudFormation gets them."""

    folder: Path

    def names(self) -> list[str]:
        return sorted(f.name.removesuffix(".template.json") for f in self.files())

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.template.json"))

    def template(self, name: str) -> dict[str, Any]:
        template: dict[str, Any] = json.loads((self.folder / f"{name}.template.json").read_text())
        return template

    def resources(self, name: str, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of the resources of one type, by their logical names."""
        return {
            logical: resource.get("Properties", {})
            for logical, resource in self.template(name)["Resources"].items()
            if resource["Type"] == kind
        }

    def only(self, name: str, kind: str) -> dict[str, Any]:
        (properties,) = self.resources(name, kind).values()
        return properties


@pytest.fixture(scope="session")
def assembly(aws: Built, tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The templates of all stages; writing them runs cdk-nag, which refuses what it dislikes."""
    folder = tmp_path_factory.mktemp("cdk.out")
    synthesise(list(STAGES.values()), aws.folder, folder)
    return Assembly(folder)
