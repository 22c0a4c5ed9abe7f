"""What the functions of the API may load: every import is paid at each cold start."""

import subprocess
import sys

import pytest
from deploy.artefacts import SETTINGS

from trinity.topology import FUNCTIONS

FORBIDDEN = frozenset(
    (
        "asyncio",
        "boto3",
        "botocore",
        "concurrent.futures",
        "dataclasses",
        "email",
        "http.client",
        "inspect",
        "PIL",
        "jwt",
        "logging",
        "pydantic",
        "rich",
        "sqlite3",
        "ssl",
        "urllib3",
        "uvicorn",
    )
)
MOST_MODULES = {"anywhere": 125, "aws": 140}
"""Beside those of the bare interpreter. `cryptography` brings so many more:"""
MORE_OF_CRYPTOGRAPHY = 50
OF_CRYPTOGRAPHY = {"dataclasses", "inspect"}
# What looks at files of strangers, and nothing else, needs Pillow.
MORE_OF_PILLOW = 80
OF_PILLOW = {"PIL", "logging"}
WITH_PILLOW = "process_upload"

# In the workshop msgspec finds typing_extensions, which is not among what the functions ship with.
SCRIPT = """
import sys
sys.modules["typing_extensions"] = None
before = set(sys.modules)
import trinity.handlers.{module}
print("\\n".join(sorted(set(sys.modules) - before)))
"""


ON_AWS = {**SETTINGS, "AWS_LAMBDA_FUNCTION_NAME": "f"}
"""What chooses the adapters of AWS; they are taken at the start, and without a connection."""


@pytest.mark.parametrize("where", MOST_MODULES)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_loads_nothing_heavy_when_it_starts(function, where):
    script = SCRIPT.format(module=function.module)
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"],
        capture_output=True,
        text=True,
        env=ON_AWS if where == "aws" else {},
        timeout=120,
        check=True,
    )
    loaded = set(done.stdout.split())
    encrypts = "cryptography" in loaded
    draws = function.name == WITH_PILLOW and where == "aws"
    allowed = (OF_CRYPTOGRAPHY if encrypts else set()) | (OF_PILLOW if draws else set())
    assert loaded & FORBIDDEN == allowed
    more = (MORE_OF_CRYPTOGRAPHY if encrypts else 0) + (MORE_OF_PILLOW if draws else 0)
    assert len(loaded) <= MOST_MODULES[where] + more
