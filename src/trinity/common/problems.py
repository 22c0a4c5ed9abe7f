"""Errors as the outside sees them: problem documents of RFC 9457 with a stable code.

This table is the one place that maps a kind of error to an HTTP status.
"""

from typing import Any

from trinity.domain import errors
from trinity.domain.errors import DomainError

CONTENT_TYPE = "application/problem+json"

STATUS: dict[type[DomainError], tuple[int, str]] = {
    errors.MalformedRequest: (400, "Request cannot be read"),
    errors.Unauthenticated: (401, "Not signed in"),
    errors.InvalidCredentials: (401, "Wrong e-mail address or password"),
    errors.InvalidToken: (401, "Token not valid"),
    errors.TokenReused: (401, "Token used twice"),
    errors.Forbidden: (403, "Not allowed"),
    errors.NotAMember: (403, "Not a member"),
    errors.NotTheHost: (403, "Not the host"),
    errors.RemovedFromRoom: (403, "Removed from the room"),
    errors.NotFound: (404, "Not found"),
    errors.RoomNotFound: (404, "Room not found"),
    errors.MethodNotAllowed: (405, "Method not allowed"),
    errors.Conflict: (409, "Changed at the same time"),
    errors.EmailTaken: (409, "E-mail address taken"),
    errors.AlreadyRegistered: (409, "Already registered"),
    errors.RoomFull: (409, "Room full"),
    errors.RoomClosed: (409, "Room not open"),
    errors.UploadNotReady: (409, "Upload not ready"),
    errors.Gone: (410, "Gone"),
    errors.PayloadTooLarge: (413, "Request too large"),
    errors.InvalidRequest: (422, "Request not valid"),
    errors.TitleNotInDeck: (422, "Title not in the deck"),
    errors.EmptyDeck: (422, "Nothing fits"),
    errors.IdempotencyMismatch: (422, "Idempotency key used for something else"),
    errors.RateLimited: (429, "Too many requests"),
    errors.HeadersTooLarge: (431, "Headers too large"),
    errors.InternalError: (500, "Internal error"),
    errors.ServiceUnavailable: (503, "Try again in a moment"),
}


def problem(error: DomainError, request_id: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the document that tell a client about an error."""
    status, title = STATUS[type(error)]
    document: dict[str, Any] = {
        "type": f"urn:trinity:problem:{error.code}",
        "title": title,
        "status": status,
        "detail": error.detail,
        "code": error.code,
        "instance": f"urn:trinity:request:{request_id}",
    }
    if error.errors:
        document["errors"] = [
            {"pointer": pointer, "message": message} for pointer, message in error.errors
        ]
    return status, document
