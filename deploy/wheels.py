"""The libraries of functions: wheels of the lock file, for the processor that functions run on."""

import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

_PINNED = re.compile(r"^([a-z0-9][a-z0-9._-]*)==[^\n]*(?:\n[ #][^\n]*)*", re.MULTILINE)
"""An entry of a lock file: the version, its hashes and remarks on the lines below."""


def fetch(
    requirements: Sequence[str],
    lock: Path,
    store: Path,
    *,
    python: str,
    platforms: Sequence[str] = (),
) -> list[Path]:
    """Return wheels of exactly the versions and hashes of a lock file.

    Args:
        requirements: names of packages; what they depend on is not fetched along.
        lock: a lock file with hashes.
        store: folder where wheels are kept: what is there is not fetched again, and needs no
            network.
        python: version of the language.
        platforms: tags, best first; empty: those of this machine.

    Raises:
        RuntimeError: a package is not in the lock file, or there is no such wheel.
    """
    pinned = {entry[1]: entry[0] for entry in _PINNED.finditer(lock.read_text())}
    if missing := set(requirements) - pinned.keys():
        raise RuntimeError(f"{lock.name} does not have {', '.join(sorted(missing))}")
    store.mkdir(parents=True, exist_ok=True)
    wanted = store / "wanted.txt"
    wanted.write_text("".join(f"{pinned[name]}\n" for name in sorted(requirements)))
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "-q"]
    pip += ["--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(wanted)]
    pip += ["-d", str(store), "--implementation=cp", f"--python-version={python}"]
    pip += [f"--platform={tag}" for tag in platforms]
    offline = [*pip, "--no-index", f"--find-links={store}"]
    for command in (offline, pip):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            break
    else:
        raise RuntimeError(f"wheels cannot be had:\n{done.stdout}{done.stderr}")
    return [_wheel(name, pinned[name], store) for name in sorted(requirements)]


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack the importable part of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        archive.extractall(folder, names)


def _wheel(name: str, entry: str, store: Path) -> Path:
    version = re.match(r"[^=]+==([^ \\;]+)", entry)
    assert version is not None, entry
    [wheel] = store.glob(f"{name.replace('-', '_')}-{version[1]}-*.whl")
    return wheel
