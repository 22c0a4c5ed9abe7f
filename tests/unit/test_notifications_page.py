"""What docs/notifications.md shows verifies what is sent."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from trinity.infrastructure.notifiers.webhook import sign

PAGE = Path(__file__).parents[2] / "docs" / "notifications.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_snippet_verifies_a_webhook_and_nothing_else() -> None:
    shown: dict[str, Any] = {}
    snippet = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert snippet is not None
    exec(snippet[1], shown)
    now = int(time.time())
    headers = {
        "webhook-id": "m1",
        "webhook-timestamp": str(now),
        "webhook-signature": sign(SECRET, "m1", now, b"{}"),
    }
    shown["verify"](SECRET, headers, b"{}")
    old = {
        **headers,
        "webhook-timestamp": str(now - 600),
        "webhook-signature": sign(SECRET, "m1", now - 600, b"{}"),
    }
    for secret, sent, body in (
        (SECRET, headers, b"{} "),
        ("whsec_AAAA", headers, b"{}"),
        (SECRET, old, b"{}"),
    ):
        with pytest.raises(ValueError, match=r"old|Trinity"):
            shown["verify"](secret, sent, body)
