"""The README does what it says."""

import re
import subprocess
from pathlib import Path

from tests.acceptance.scenarios import Host

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_tour_of_the_readme_ends_with_a_match(host: Host) -> None:
    tour = re.search(r"<!-- tour.*?-->\n```sh\n(.*?)```", README.read_text(), re.DOTALL)
    assert tour is not None
    script = "set -euo pipefail\n" + tour[1].replace("http://127.0.0.1:8000", host.client.base_url)
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"title":"Pizza"' in done.stdout
    assert '"reason":"Everybody said yes."' in done.stdout
    assert '"matches":[{"titleId"' in done.stdout
    assert '"cursor":"' in done.stdout
