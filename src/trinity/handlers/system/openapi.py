"""The description of this API, for programs."""

from trinity.bootstrap import operation
from trinity.common.requests import Reply


def openapi() -> Reply:
    """Return the OpenAPI 3.1 document. It imports every handler, and only this function does."""
    from trinity.openapi import document

    return Reply(document(), {"cache-control": "public, max-age=300"})


handler = operation(openapi, tagged=True)
