"""What the functions of the API may load: every import is paid at each cold start."""

import subprocess
import sys

import pytest

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
MOST_MODULES = 125

# In the workshop msgspec finds typing_extensions, which is not among what the functions ship with.
SCRIPT = """
import sys
sys.modules["typing_extensions"] = None
before = set(sys.modules)
import trinity.handlers.{module}
print("\\n".join(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_loads_nothing_heavy_when_it_starts(function):
    script = SCRIPT.format(module=function.module)
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert not loaded & FORBIDDEN
    assert len(loaded) <= MOST_MODULES
