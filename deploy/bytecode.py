"""Bytecode for the Python that functions run on, whatever Python this machine has.

Bytecode of 3.13 can only be made by a Python 3.13. Where this is none, the one inside the npm
package pyodide does it: CPython built for WebAssembly, pinned by deploy/package-lock.json and run
by Node.js, which the CDK takes anyway. It makes the same bytes on every machine.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

_HERE = Path(__file__).parent
_SCRIPT = _HERE / "compile_tree.py"
_PACKAGES = _HERE / "node_modules"
# The order in which a set is written down depends on the hashes of its strings; and a stack names
# lines, without marking the words in them, which would be a fifth of every zip.
_ALWAYS = {"PYTHONHASHSEED": "0", "PYTHONNODEBUGRANGES": "1"}


def compile_trees(trees: Iterable[tuple[Path, str]], python: str) -> None:
    """Write bytecode beside every module.

    Args:
        trees: folders, each with the place where it will lie.
        python: version of the language, `3.13`.

    Raises:
        RuntimeError: a module cannot be compiled, or there is no Node.js.
    """
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        compiler = [sys.executable, "-P", str(_SCRIPT)]
    else:
        _install()
        compiler = [_tool("node"), str(_SCRIPT.with_suffix(".mjs")), python]
    arguments = [str(argument) for tree in trees for argument in tree]
    _run([*compiler, *arguments], env={**os.environ, **_ALWAYS})


def bytecode_of(module: Path, python: str) -> Path:
    """Return where the bytecode of a module is (PEP 3147)."""
    tag = f"cpython-{python.replace('.', '')}"
    return module.parent / "__pycache__" / f"{module.stem}.{tag}.pyc"


def code(compiled: Path) -> bytes:
    """Return what a file of bytecode holds behind its head: a module, marshalled (PEP 552)."""
    return compiled.read_bytes()[16:]


def _install() -> None:
    """Install what package-lock.json names, if that is not there yet."""
    wanted = hashlib.sha256((_HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = _PACKAGES / ".installed"
    with (_HERE / ".install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at a time install it once
        if not stamp.exists() or stamp.read_text() != wanted:
            _run([_tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=_HERE)
            stamp.write_text(wanted)


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not there: install Node.js 20 or later")
    return found


def _run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
