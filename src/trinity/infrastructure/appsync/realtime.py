"""`Realtime` by mutations of AppSync, which hands what they answer to those who have subscribed.

Sources: "Subscriptions" and "IAM authorization" in the AWS AppSync developer guide. A subscriber
gets no field that the mutation has not selected, so each selects all.
"""

from typing import Any

import msgspec

from trinity.common.resilience import CircuitBreaker, CircuitOpen
from trinity.common.telemetry import Log
from trinity.domain.ids import RoomId, UserId
from trinity.infrastructure.aws.client import AwsError, Client
from trinity.infrastructure.aws.retry import Limits
from trinity.ports import Unavailable

PUBLISH = (
    "mutation ($event: RoomEventInput!) { publishRoomEvent(event: $event)"
    " { cursor roomId type at actorId data __typename } }"
)
SHOW = (
    "mutation ($presence: PresenceInput!) { publishPresence(presence: $presence)"
    " { roomId at online __typename } }"
)
END = "mutation ($roomId: ID!, $userId: ID) { endSubscriptions(roomId: $roomId, userId: $userId) }"

LIMITS = Limits(attempts=3, connect=1.0, exchange=2.0, total=3.0)
_FAILURES = 3
_REST_S = 10.0
"""Each event that AppSync does not take holds up the next ones. So it is left alone for a while:
those who follow read the log of the room anyway."""


class _Answer(msgspec.Struct):
    errors: list[dict[str, Any]] = []


_answer = msgspec.json.Decoder(_Answer).decode


class AppSyncRealtime:
    """See `Realtime`.

    What cannot be told is not told: it is in the log of the room, and whoever follows reads that.
    The log of the service says so.

    AppSync ends a subscription when a mutation's resolver asks for it and the filter fits that
    the subscription's resolver has set (`deploy/api.py`). Until that has happened somebody who was
    removed may still get an event; one who comes back is asked again whether he may follow.

    Args:
        client: of the API's GraphQL endpoint.
        log: is told what could not be told, and nothing of what it was.
    """

    def __init__(self, client: Client, log: Log) -> None:
        self._client = client
        self._log = log
        self._breaker = CircuitBreaker(failures=_FAILURES, rest_s=_REST_S)

    def publish(self, room: RoomId, event: dict[str, Any]) -> None:
        """See `Realtime.publish`."""
        data = msgspec.json.encode(event["data"]).decode()  # AWSJSON travels as text
        self._do(PUBLISH, {"event": {**event, "data": data}})

    def show(self, room: RoomId, presence: dict[str, Any]) -> None:
        """See `Realtime.show`."""
        self._do(SHOW, {"presence": presence})

    def end(self, room: RoomId, user: UserId | None = None) -> None:
        """See `Realtime.end`."""
        self._do(END, {"roomId": room, "userId": user})

    def _do(self, mutation: str, variables: dict[str, Any]) -> None:
        body = msgspec.json.encode({"query": mutation, "variables": variables})
        try:
            self._breaker.call(lambda: self._send(body), failure=(AwsError, Unavailable))
        except CircuitOpen:
            return  # that was said when it opened
        except (AwsError, Unavailable) as error:
            self._log("warning", "followers of a room were not told", cause=str(error))

    def _send(self, body: bytes) -> None:
        # Sent twice it would be told twice, so a request whose outcome is unknown is given up.
        response = self._client.send(
            "POST", headers={"content-type": "application/json"}, body=body, idempotent=False
        )
        for error in _answer(response.body).errors:
            raise Unavailable(f"AppSync answered {error.get('errorType')}")
