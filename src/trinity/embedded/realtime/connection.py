"""What goes out on one connection, as fast as the client reads and no faster."""

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NamedTuple

from trinity.embedded.realtime.frames import Messages, Write
from trinity.embedded.realtime.subscriptions import View, encode, text

Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]


class Limits(NamedTuple):
    """How much and how long; the first four are AppSync's own.

    Attributes:
        subscriptions: most per connection.
        keep_alive_s: between two `ka`.
        timeout_ms: what clients are told: silence for so long means that the connection is lost.
        longest_s: life of a connection.
        waiting: most messages that wait for a client who does not read.
        waiting_chars: most characters of those.
        patience_s: how long a client that is refused may take to say something first.
        renew_s: how often those who follow are noted as present, at the least.
        gather_from_s: how long telling must take before the endpoint may wait for more to tell.
        back_s: how long a follower may take to come back; Amplify connects again after 5 seconds.
    """

    subscriptions: int = 100
    keep_alive_s: float = 60.0
    timeout_ms: int = 300_000
    longest_s: float = 24 * 3600.0
    waiting: int = 256
    waiting_chars: int = 1_000_000
    patience_s: float = 1.0
    renew_s: float = 15.0
    gather_from_s: float = 0.001
    back_s: float = 7.0


class Subscription:
    """One `start` that has not ended.

    Attributes:
        field: of the schema.
        event: what its function was called with when it began.
        head: how every event's message begins for this subscription, up to and with the id.
        last: the cursor of the last event that was sent; None before the first.
        ended: whether it ended before it had begun.
    """

    __slots__ = (
        "connection",
        "ended",
        "event",
        "field",
        "head",
        "id",
        "last",
        "room",
        "timer",
        "user",
        "view",
    )

    def __init__(
        self, connection: "Connection", name: str, field: str, view: View, event: dict[str, Any]
    ) -> None:
        self.connection = connection
        self.id = name
        self.field = field
        self.view = view
        self.event = event
        self.room: str = event["arguments"]["roomId"]
        self.user: str = event["identity"]["sub"]
        self.head = b'{"type":"data","id":' + encode(name)
        self.last: str | None = None
        self.ended = False
        self.timer: asyncio.TimerHandle | None = None


class _Waiting(NamedTuple):
    message: dict[str, Any]
    subscription: Subscription | None = None
    cursor: str | None = None


class Connection:
    """Sends messages in their order.

    While the client reads, a message goes straight to the transport: no task wakes up for it.
    When the server behind ASGI makes a send wait, messages queue up, and a task sends them. When
    too many wait, `overflown` is called.

    Args:
        send: of ASGI.
        limits: see there.
        overflown: is called once at most.
        write: a shorter way for what is published, if the server has one.
    """

    def __init__(
        self,
        send: Send,
        limits: Limits,
        overflown: Callable[["Connection"], None],
        write: Write = lambda _: False,
    ) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.timers: list[asyncio.TimerHandle] = []
        self.is_over = False
        self._send = send
        self._limits = limits
        self._overflown = overflown
        self._write = write
        self._waiting: deque[_Waiting] = deque()
        self._waiting_chars = 0
        self._sender: asyncio.Task[None] | None = None

    def deliver_all(
        self, subscription: Subscription, messages: Messages, cursor: str | None
    ) -> bool:
        """Send several messages at once that were published to a subscription.

        Args:
            subscription: of this connection.
            messages: all of them.
            cursor: of the last one.

        Returns:
            False if that cannot be done: they are to be delivered one by one.
        """
        if self.is_over:
            return True
        if self._sender is not None or not self._write(messages.frames(subscription.head)):
            return False
        subscription.last = cursor
        return True

    def deliver(self, subscription: Subscription, frame: str, cursor: str | None) -> None:
        """Send something that was published to a subscription; an event has a cursor."""
        if self.is_over:
            return
        if self._sender is None:
            subscription.last = cursor
            self._begin({"type": "websocket.send", "text": frame})
            return
        if subscription.last is None and cursor is not None:
            subscription.last = str(int(cursor) - 1)
        self._queue(frame, subscription, cursor)

    def say(self, message: dict[str, Any]) -> None:
        """Send a message of the protocol."""
        if self.is_over:
            return
        frame = text(message)
        if self._sender is None:
            self._begin({"type": "websocket.send", "text": frame})
        else:
            self._queue(frame)

    def error(self, name: str | None, *errors: dict[str, Any]) -> None:
        """Send an `error`; its id is left out where there is none."""
        about = {} if name is None else {"id": name}
        self.say({"type": "error", **about, "payload": {"errors": errors}})

    def close(self, code: int, reason: str = "") -> None:
        """Say no more after what is waiting."""
        if self.is_over:
            return
        self.is_over = True
        message = {"type": "websocket.close", "code": code, "reason": reason}
        if self._sender is None:
            self._begin(message)
        else:
            self._waiting.append(_Waiting(message))

    def drop_waiting(self) -> None:
        """Forget what is waiting."""
        self._waiting.clear()
        self._waiting_chars = 0

    def _queue(
        self, frame: str, subscription: Subscription | None = None, cursor: str | None = None
    ) -> None:
        message = {"type": "websocket.send", "text": frame}
        self._waiting.append(_Waiting(message, subscription, cursor))
        self._waiting_chars += len(frame)
        limits = self._limits
        if len(self._waiting) > limits.waiting or self._waiting_chars > limits.waiting_chars:
            self.drop_waiting()
            self._overflown(self)

    def _begin(self, message: dict[str, Any]) -> None:
        """Send without a task, unless it turns out that there is something to wait for."""
        sending = self._send(message)
        try:
            awaited = sending.send(None)
        except StopIteration:
            return
        except (OSError, RuntimeError):  # the client is gone; ASGI's `receive` will say so
            self.is_over = True
            return
        self._sender = asyncio.get_running_loop().create_task(self._go_on(sending, awaited))

    async def _go_on(self, sending: Coroutine[Any, Any, None], awaited: Any) -> None:
        try:
            await _rest(sending, awaited)
            while self._waiting:
                message, subscription, cursor = self._waiting.popleft()
                self._waiting_chars -= len(message.get("text", ""))
                if subscription is not None:
                    subscription.last = cursor
                await self._send(message)
        except (OSError, RuntimeError):  # see above
            self.is_over = True
            self.drop_waiting()
        finally:
            self._sender = None


@types.coroutine
def _rest(begun: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Go on, in a task, with a coroutine that was begun outside of one and waits for something."""
    try:
        while True:
            awaited = begun.send((yield awaited))
    except StopIteration:
        return
    finally:
        begun.close()
