"""Libraries of a lock file in a folder of their own, as a function would have them."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def installed(lock: str) -> Path:
    """Return the folder that holds what `requirements/LOCK.lock` names, after installing it."""
    wanted = hashlib.sha256((ROOT / "requirements" / f"{lock}.lock").read_bytes()).hexdigest()
    folder = ROOT / "build" / "installed" / lock
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder / ".installed"
    with folder.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            pip += ["--require-hashes", "--no-deps", "--target", str(folder)]
            pip += ["-r", str(ROOT / "requirements" / f"{lock}.lock")]
            subprocess.run(pip, check=True)
            stamp.write_text(wanted)
    return folder
