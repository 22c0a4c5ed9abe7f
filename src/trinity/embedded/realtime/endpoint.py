"""Connections, who follows which room on them, and the events on their way there.

Messages and their order are AppSync's:
https://docs.aws.amazon.com/appsync/latest/devguide/real-time-websocket-client.html
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from trinity.common.telemetry import Log
from trinity.domain.errors import DomainError, ServiceUnavailable
from trinity.domain.ids import RoomId, UserId
from trinity.embedded.graphql.api import Api, Call
from trinity.embedded.realtime import handshake, subscriptions
from trinity.embedded.realtime.attendance import Attendance
from trinity.embedded.realtime.connection import Connection, Limits, Send, Subscription
from trinity.embedded.realtime.frames import EXTENSION, Messages
from trinity.embedded.realtime.sequence import Sequence
from trinity.embedded.realtime.subscriptions import LARGEST_MESSAGE, Refused, Started, View, refused
from trinity.ports import Unavailable
from trinity.topology import FUNCTIONS

PATHS = ("/graphql", "/graphql/realtime")
"""AppSync's own host has the first, custom domains the second; gql keeps to what it is given."""

_Identity = dict[str, Any]
_Topic = tuple[str, str]
"""A field of the subscription type, and a room."""

_EVENTS = "Subscription.onRoomEvent"
_PRESENCE = "Subscription.onPresence"

_UNAUTHORIZED = "UnauthorizedException"
_EXPIRED = {"errorType": _UNAUTHORIZED, "message": "Your token has expired."}
_NOT_ALLOWED = "You are not authorized to make this call."


_AT_ONCE = 50
"""Events that are written at a time: between two such lots what was written goes out."""
_LATE_S = 0.25
"""How long an event waits for the one before it, which another thread is about to tell."""

_LIMITS = Limits()


class _Message(msgspec.Struct):
    type: str
    id: str | None = None
    payload: Any = None


_decode = msgspec.json.Decoder(_Message).decode


class Realtime:
    """The real-time endpoint, which is told by functions as AppSync is (see `ports.Realtime`).

    All of it runs in one loop, except `publish`, `show` and `end`.

    Args:
        call: calls a function with an event.
        api: knows users and documents.
        log: for what AppSync would keep to itself.
        limits: see there.
    """

    def __init__(
        self,
        call: Call,
        api: Api,
        log: Log,
        limits: Limits = _LIMITS,
    ) -> None:
        self._call = call
        self._api = api
        self._log = log
        self._limits = limits
        self._functions = {name: one for one in FUNCTIONS for name in one.fields}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: set[Connection] = set()
        self._starting: set[Subscription] = set()
        self._topics: dict[_Topic, dict[View, dict[Subscription, None]]] = {}
        self._sequences: dict[str, Sequence] = {}
        self._arrived: deque[tuple[str, dict[str, Any]]] = deque()
        self._turn_due = False
        self._gather_s = 0.0
        self._attendance = Attendance(call, limits, self._end)
        self._requests = itertools.count()
        self._stopping = False

    # ------------------------------------------------------------------------- from any thread

    def publish(self, room: RoomId, event: dict[str, Any]) -> None:
        """Let all who follow a room see an event; from any thread."""
        if (_EVENTS, room) not in self._topics:
            return
        self._arrived.append((room, event))
        if not self._turn_due:  # a turn that is due, or not over, sees to this event
            self._turn_due = True
            self._in_the_loop(self._ask_for_turn)

    def show(self, room: RoomId, presence: dict[str, Any]) -> None:
        """Let all who want to know see who is in a room; from any thread."""
        self._in_the_loop(self._show, room, presence)

    def end(self, room: RoomId, user: UserId | None = None) -> None:
        """End a user's subscriptions to a room, or everybody's; from any thread."""
        self._in_the_loop(self._end, room, user)

    def _in_the_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        # Before the first connection nobody is there to be told, nor when the loop is closed.
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback, *arguments)

    # ------------------------------------------------------------------------------ in the loop

    async def serve(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Send,
    ) -> None:
        """Serve one connection until it ends (ASGI's scope `websocket`)."""
        self._loop = asyncio.get_running_loop()
        await receive()
        if scope["path"] not in PATHS:
            await send({"type": "websocket.close"})
            return
        offered = scope["subprotocols"]
        chosen = handshake.PROTOCOL if handshake.PROTOCOL in offered else None
        await send({"type": "websocket.accept", "subprotocol": chosen})
        try:
            identity = self._admit(scope)
        except handshake.Refused as refusal:
            # The upgrade succeeds all the same: browsers cannot see why one fails.
            payload = {"errors": [refusal.error]}
            frame = subscriptions.text({"type": "connection_error", "payload": payload})
            # Clients listen when they have said something, and not before: gql, Amplify, Apollo.
            with suppress(TimeoutError):
                first = await asyncio.wait_for(receive(), self._limits.patience_s)
                if first["type"] == "websocket.disconnect":
                    return
            await send({"type": "websocket.send", "text": frame})
            await send({"type": "websocket.close", "code": 1000})
            return
        connection = self._open(scope, send, identity)
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await self._answer(connection, message.get("text"), scope)
        finally:
            self._forget(connection)

    def stop(self) -> None:
        """End all connections: clients go elsewhere, or come again."""
        self._stopping = True
        for connection in list(self._connections):
            self._hang_up(connection, 1001, "the server stops")

    def _admit(self, scope: dict[str, Any]) -> _Identity:
        """Return who connects."""
        query = scope["query_string"].decode("latin-1")
        given = handshake.authorization(scope["subprotocols"], query, scope["headers"])
        identity = self._api.identity(given.get("authorization"))
        if identity is None:
            raise handshake.Refused(_NOT_ALLOWED, 401, _UNAUTHORIZED)
        return identity

    def _open(self, scope: dict[str, Any], send: Send, identity: _Identity) -> Connection:
        write = scope.get("state", {}).get(EXTENSION)
        connection = Connection(send, self._limits, self._cut_off, *([write] if write else []))
        self._connections.add(connection)
        loop = asyncio.get_running_loop()
        self._keep_alive(connection)
        connection.timers += [
            loop.call_later(_seconds_left(identity), self._log_out, connection),
            loop.call_later(self._limits.longest_s, self._hang_up, connection, 1001, "24 hours"),
        ]
        if self._stopping:
            self._hang_up(connection, 1001, "the server stops")
        return connection

    def _keep_alive(self, connection: Connection) -> None:
        connection.say({"type": "ka"})
        again = asyncio.get_running_loop().call_later(
            self._limits.keep_alive_s, self._keep_alive, connection
        )
        connection.timers[:1] = [again]

    async def _answer(
        self, connection: Connection, frame: str | None, scope: dict[str, Any]
    ) -> None:
        try:
            message = _decode(frame or "")
        except (msgspec.DecodeError, RecursionError):
            message = _Message("This message")
        try:
            if message.type == "connection_init":
                payload = {"connectionTimeoutMs": self._limits.timeout_ms}
                connection.say({"type": "connection_ack", "payload": payload})
            elif message.type == "start":
                await self._start(connection, message, scope)
            elif message.type == "stop":
                subscription = connection.subscriptions.get(message.id or "")
                if subscription is not None:
                    self._complete(subscription)
            else:
                raise subscriptions.unsupported(message.type)
        except Refused as refusal:
            name = message.id if refusal.names_the_start else None
            connection.error(name, *refusal.errors)

    async def _start(
        self, connection: Connection, message: _Message, scope: dict[str, Any]
    ) -> None:
        identity, started = self._check(connection, message)
        name = message.id or ""
        field = f"Subscription.{started.field}"
        event = self._resolver_event(started, identity, scope)
        subscription = Subscription(connection, name, field, started.view, event)
        # Whoever is removed from the room while the function runs, or right after, is told.
        self._starting.add(subscription)
        try:
            await self._call(self._functions[field], event)
        except DomainError as error:
            raise refused(type(error).__name__, error.detail) from None
        except Unavailable:
            busy = ServiceUnavailable()
            raise refused(type(busy).__name__, busy.detail) from None
        finally:
            self._starting.discard(subscription)
        if subscription.ended:
            connection.say({"type": "complete", "id": name})
        elif not connection.is_over:
            self._follow(subscription, _seconds_left(identity))
            connection.say({"type": "start_ack", "id": name})

    def _check(self, connection: Connection, message: _Message) -> tuple[_Identity, Started]:
        most = self._limits.subscriptions
        if not message.id:
            raise refused("BadRequestException", "A start needs an id.")
        if message.id in connection.subscriptions:
            said = "This id belongs to a subscription already."
            raise refused("DuplicatedOperationError", said)
        if len(connection.subscriptions) >= most:
            said = f"Max number of {most} subscriptions reached"
            raise refused("MaxSubscriptionsReachedError", said)
        payload = message.payload if isinstance(message.payload, dict) else {}
        identity = self._api.identity(handshake.of_start(payload))
        if identity is None:
            raise refused(_UNAUTHORIZED, _NOT_ALLOWED)
        return identity, subscriptions.read(payload, self._api.documents, self._api.schema)

    def _resolver_event(
        self, started: Started, identity: _Identity, scope: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the context object that a direct Lambda resolver gets.

        https://docs.aws.amazon.com/appsync/latest/devguide/resolver-context-reference.html
        """
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        headers["x-amzn-requestid"] = f"realtime-{next(self._requests):x}"
        return {
            "arguments": dict(started.view.arguments),
            "identity": identity,
            "source": None,
            "request": {"headers": headers, "domainName": None},
            "prev": None,
            "stash": {},
            "info": started.info,
        }

    # --------------------------------------------------------------------------- subscriptions

    def _follow(self, subscription: Subscription, seconds: float) -> None:
        subscription.connection.subscriptions[subscription.id] = subscription
        views = self._topics.setdefault((subscription.field, subscription.room), {})
        views.setdefault(subscription.view, {})[subscription] = None
        if subscription.field == _EVENTS:
            self._sequences.setdefault(subscription.room, Sequence())
        self._attendance.begin(subscription)
        loop = asyncio.get_running_loop()
        subscription.timer = loop.call_later(seconds, self._expire, subscription)

    def _unfollow(self, subscription: Subscription) -> None:
        following = subscription.connection.subscriptions
        if following.get(subscription.id) is not subscription:
            return  # its connection is gone already
        del following[subscription.id]
        if subscription.timer is not None:
            subscription.timer.cancel()
        topic = subscription.field, subscription.room
        views = self._topics[topic]
        del views[subscription.view][subscription]
        if not views[subscription.view]:
            del views[subscription.view]
        if not views:
            del self._topics[topic]
            if subscription.field == _EVENTS:
                del self._sequences[subscription.room]
        self._attendance.end(subscription)

    def _complete(self, subscription: Subscription) -> None:
        self._unfollow(subscription)
        subscription.connection.say({"type": "complete", "id": subscription.id})

    def _expire(self, subscription: Subscription) -> None:
        self._unfollow(subscription)
        subscription.connection.error(subscription.id, _EXPIRED)

    def _ask_for_turn(self) -> None:
        asyncio.get_running_loop().call_later(self._gather_s, self._take_turn)

    def _take_turn(self) -> None:
        """Tell what has arrived.

        If that was more than one event, more come than can be told one by one, and the next one
        waits for others for a quarter of the time that this turn took, and half as long after each
        that stayed alone: one write for each follower is most of what telling costs, and takes many
        events as well as one.
        """
        began, many = time.monotonic(), len(self._arrived)
        try:
            self._tell_arrived()
        finally:
            took = time.monotonic() - began
            crowded = many > 1 and took > self._limits.gather_from_s
            self._gather_s = took / 4 if crowded else self._gather_s / 2
            self._turn_due = False
            # Until now, whoever published left the next turn to us; from now on he asks for it.
            if self._arrived:
                self._turn_due = True
                self._ask_for_turn()

    def _tell_arrived(self) -> None:
        """Tell all events of a room at once, and each room's in order."""
        rooms: dict[str, list[dict[str, Any]]] = {}
        for _ in range(min(len(self._arrived), _AT_ONCE)):
            room, event = self._arrived.popleft()
            rooms.setdefault(room, []).append(event)
        for room, events in rooms.items():
            sequence = self._sequences.get(room)
            if sequence is None:
                continue  # nobody follows any more
            waited = sequence.waits
            self._publish(room, [one for event in events for one in sequence.take(event)])
            if sequence.waits and not waited:
                asyncio.get_running_loop().call_later(_LATE_S, self._wait_no_longer, room, sequence)

    def _wait_no_longer(self, room: str, sequence: Sequence) -> None:
        if self._sequences.get(room) is sequence:
            self._publish(room, sequence.rest())

    def _publish(self, room: str, events: list[dict[str, Any]]) -> None:
        self._tell((_EVENTS, room), list(map(subscriptions.published_event, events)))

    def _show(self, room: str, presence: dict[str, Any]) -> None:
        self._tell((_PRESENCE, room), [subscriptions.published_presence(presence)])
        self._attendance.compare(room, presence["online"])

    def _tell(self, topic: _Topic, published: list[dict[str, Any]]) -> None:
        slow: list[tuple[Subscription, list[bytes | None]]] = []
        for view, followers in list(self._topics.get(topic, {}).items()):
            ends = [self._message_end(view, one) for one in published]
            seen = [end for end in ends if end is not None]
            if not seen:
                continue
            messages = Messages(seen)
            cursor = published[-1].get("cursor")
            for subscription in tuple(followers):
                if not subscription.connection.deliver_all(subscription, messages, cursor):
                    slow.append((subscription, ends))
        for number, one in enumerate(published) if slow else ():
            for subscription, ends in slow:
                end = ends[number]
                if end is not None:
                    frame = (subscription.head + end).decode()
                    subscription.connection.deliver(subscription, frame, one.get("cursor"))

    def _message_end(self, view: View, published: dict[str, Any]) -> bytes | None:
        if not view.lets_through(published):
            return None
        end = view.message_end(published)
        if len(end) < LARGEST_MESSAGE:
            return end
        said = "a message is too large for subscriptions, and was not delivered"
        about = {"room": published["roomId"], "cursor": published.get("cursor")}
        self._log("warning", said, **about, bytes=len(end))
        return None

    def _end(self, room: str, user: str | None) -> None:
        while self._arrived:  # whoever goes hears of that first
            self._tell_arrived()
        if (sequence := self._sequences.get(room)) is not None:
            self._publish(room, sequence.rest())
        for subscription in self._starting:
            if subscription.room == room and user in (None, subscription.user):
                subscription.ended = True
        for field in (_EVENTS, _PRESENCE):
            views = self._topics.get((field, room), {})
            for subscription in [one for followers in views.values() for one in followers]:
                if user in (None, subscription.user):
                    self._complete(subscription)

    # ----------------------------------------------------------------------------- connections

    def _log_out(self, connection: Connection) -> None:
        connection.error(None, _EXPIRED)
        self._hang_up(connection, 1000, "the token has expired")

    def _cut_off(self, connection: Connection) -> None:
        """Part with a client that reads too slowly, and tell it where it may read on."""
        behind = list(connection.subscriptions.values())
        self._forget(connection)
        for subscription in behind:
            said = "You read too slowly, and events were left out."
            if subscription.last is not None:
                said += f' Read roomEvents(after: "{subscription.last}"), then subscribe again.'
            error = {"errorType": "SlowSubscriber", "message": said}
            connection.error(subscription.id, error)
        connection.close(1013, "read on with roomEvents")
        self._log("info", "a subscriber was too slow", subscriptions=len(behind))

    def _hang_up(self, connection: Connection, code: int, reason: str) -> None:
        self._forget(connection)
        connection.close(code, reason)

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        for timer in connection.timers:
            timer.cancel()
        for subscription in list(connection.subscriptions.values()):
            self._unfollow(subscription)


def _seconds_left(identity: _Identity) -> float:
    return float(identity["claims"]["exp"]) - time.time()
