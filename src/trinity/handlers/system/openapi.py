"""The description of this API, for programs."""

import sys
from pathlib import Path
from typing import Any

from trinity.bootstrap import operation
from trinity.common.requests import Reply

_SHIPPED = Path(sys.modules["trinity"].__path__[0], "openapi.json")


def openapi() -> Reply:
    """Return the OpenAPI 3.1 document."""
    return Reply(_document(), {"cache-control": "public, max-age=300"})


def _document() -> Any:
    """Return the document that a Lambda function ships with; elsewhere all handlers are at hand."""
    if _SHIPPED.exists():
        return _SHIPPED.read_bytes()
    from trinity.openapi import document

    return document()


handler = operation(openapi, tagged=True)
