"""Who issues the access tokens, and where the keys are (OpenID Connect Discovery 1.0)."""

from trinity.bootstrap import operation
from trinity.common.requests import Reply
from trinity.common.settings import Settings


def discovery(*, settings: Settings) -> Reply:
    """Return the issuer document, as JWT authorizers read it."""
    issuer = settings.issuer
    return Reply(
        {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        },
        {"cache-control": "public, max-age=3600"},
    )


handler = operation(discovery)
