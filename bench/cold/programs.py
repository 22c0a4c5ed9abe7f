"""What is measured: functions as they are shipped, an empty one, and one of the usual parts."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from deploy.artefacts import Artefacts

from bench.cold.environment import Program
from bench.cold.installed import installed

_HANDLERS = Path(__file__).with_name("handlers")

EMPTY = Program("empty", "empty.handler", (_HANDLERS,))


def function(
    name: str, artefacts: Artefacts, built: Path, to: Path, environment: Mapping[str, str]
) -> Program:
    """Unpack a function and its layers, and return it.

    Args:
        name: of the function.
        artefacts: made for this machine.
        built: the folder of their zips.
        to: an existing folder, in which one of the function's name is made.
        environment: its variables.
    """
    artefact = artefacts.functions[name]
    task, shared = to / name / "task", to / name / "opt"
    parts = [(artefact.file, task)]
    parts += [(artefacts.layers[layer].file, shared) for layer in artefact.layers]
    for file, folder in parts:
        with zipfile.ZipFile(built / file) as archive:
            archive.extractall(folder)
    return Program(name, artefact.handler, (task, shared / "python"), environment)


def powertools(environment: Mapping[str, str], *, traced: bool = True) -> Program:
    """Return the vote that is made of boto3, Powertools and pydantic."""
    variables = {
        **environment,
        "AWS_DEFAULT_REGION": environment["AWS_REGION"],
        "TRACER": "on" if traced else "off",
    }
    folders = (_HANDLERS, installed("powertools"))
    name = "powertools" if traced else "powertools, no tracer"
    return Program(name, "powertools.handler", folders, variables)
