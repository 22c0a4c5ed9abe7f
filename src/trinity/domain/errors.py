"""What can go wrong for a reason that a client can understand.

Each error has a stable `code`; `trinity.common.problems` maps it to an HTTP status.
"""

from collections.abc import Sequence
from typing import ClassVar


class DomainError(Exception):
    """A refusal with a stable code.

    Attributes:
        code: what programs act on.
        detail: one sentence for people: what happened, what was kept, what to do.
        retry_after: seconds after which trying again makes sense, if that is known.
        errors: what exactly is wrong with the input, as (JSON pointer, message).
    """

    code: ClassVar[str]
    default_detail: ClassVar[str] = ""

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: int | None = None,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.detail = detail or self.default_detail
        self.retry_after = retry_after
        self.errors = tuple(errors)
        super().__init__(self.detail)


class MalformedRequest(DomainError):
    """The body is not what the route takes at all: broken JSON, not an object, wrong encoding."""

    code = "invalid_request"
    default_detail = "The request could not be read."


class InvalidRequest(DomainError):
    """The request can be read, but something in it is not allowed."""

    code = "invalid_request"
    default_detail = "The request is not valid."


class Unauthenticated(DomainError):
    """There is no valid access token."""

    code = "unauthenticated"
    default_detail = "Sign in and send a valid access token."


class InvalidCredentials(DomainError):
    """The e-mail address and the password do not belong together."""

    code = "invalid_credentials"
    default_detail = "The e-mail address or the password is wrong."


class InvalidToken(DomainError):
    """A refresh or reset token is unknown, expired or used up."""

    code = "invalid_token"
    default_detail = "This token is unknown, has expired or was already used."


class TokenReused(DomainError):
    """A refresh token came back after it had been replaced: it may have been stolen."""

    code = "token_reused"
    default_detail = "This token was already used. The session was ended; sign in again."


class Forbidden(DomainError):
    """The caller is known, and may not do this."""

    code = "forbidden"
    default_detail = "You may not do this."


class NotAMember(DomainError):
    """Only active members of the room may do this."""

    code = "not_a_member"
    default_detail = "Only members of this room can do this. Join it with its code."


class NotTheHost(DomainError):
    """Only the host of the room may do this."""

    code = "not_the_host"
    default_detail = "Only the host of this room can do this."


class RemovedFromRoom(DomainError):
    """The host removed the caller from this room."""

    code = "removed_from_room"
    default_detail = "The host removed you from this room."


class NotFound(DomainError):
    """There is no such thing."""

    code = "not_found"
    default_detail = "There is no such thing here."


class RoomNotFound(DomainError):
    """There is no such room."""

    code = "room_not_found"
    default_detail = "There is no such room. Check the code with your host."


class TitleNotInDeck(DomainError):
    """The title is not one of the room's deck."""

    code = "title_not_in_deck"
    default_detail = "This title is not in the deck of the room."


class Conflict(DomainError):
    """Somebody else changed the same thing at the same time, again and again."""

    code = "conflict"
    default_detail = "Somebody changed this at the same time. Look at it again and retry."


class EmailTaken(DomainError):
    """Another account has this e-mail address."""

    code = "email_taken"
    default_detail = "There is already an account with this e-mail address. Log in instead."


class AlreadyRegistered(DomainError):
    """The caller's account is not a guest's any more."""

    code = "already_registered"
    default_detail = "This account is already registered."


class RoomFull(DomainError):
    """The room has as many active members as it can take."""

    code = "room_full"
    default_detail = "This room is full."


class RoomClosed(DomainError):
    """The room is decided, closed or expired."""

    code = "room_closed"
    default_detail = "This room is not open any more."


class UploadNotReady(DomainError):
    """The file of this upload has not arrived, or is still being processed."""

    code = "upload_not_ready"
    default_detail = "The file is not ready yet. Try again in a moment."


class IdempotencyMismatch(DomainError):
    """An idempotency key came back with another request."""

    code = "idempotency_mismatch"
    default_detail = "This Idempotency-Key was already used for a different request."


class EmptyDeck(DomainError):
    """No title fits the wishes for the deck."""

    code = "empty_deck"
    default_detail = "No title fits. Widen the years, the genres or the rating."


class PayloadTooLarge(DomainError):
    """The body is larger than the route takes."""

    code = "payload_too_large"
    default_detail = "The request body is larger than 256 KiB."


class HeadersTooLarge(DomainError):
    """The head of the request is larger than the gateway takes."""

    code = "headers_too_large"
    default_detail = "The headers of the request are larger than 10 KiB."


class RateLimited(DomainError):
    """Too many requests of this kind in a short time."""

    code = "rate_limited"
    default_detail = "Too many attempts. Wait a little and try again."


class MethodNotAllowed(DomainError):
    """The path exists, but not with this method."""

    code = "method_not_allowed"
    default_detail = "This path does not take that method."


class Gone(DomainError):
    """It was there, and is no more: an expired cursor, for example."""

    code = "gone"
    default_detail = "This is not there any more. Start again from the beginning."


class InternalError(DomainError):
    """A fault of ours."""

    code = "internal_error"
    default_detail = "Something went wrong on our side. Your earlier votes are safe; try again."


class ServiceUnavailable(DomainError):
    """Something that this needs does not answer."""

    code = "unavailable"
    default_detail = "The service is busy. Nothing you did before is lost; try again in a moment."
