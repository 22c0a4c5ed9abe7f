"""Many subscribers and a few publishers in one process, on raw sockets and one epoll.

The subscribers of a server cost this process little, or it would be what is measured: but for the
id of the subscription, WebSocket subscribers of a room have to read the same bytes. The first to
read an event decodes it; for all others it is compared.
"""

from __future__ import annotations

import base64
import itertools
import json
import resource
import select
import socket
import time
import uuid
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from bench.server import BenchError, Client
from bench.targets import Seat

READ_AT_ONCE = 262_144
PATIENCE_SECONDS = 20.0
QUIET_SECONDS = 0.4
REST_SECONDS = 0.002
FILES = 16_384
ANY_ID = b"-" * 36
EVERYTHING = (
    "subscription Follow($room: ID!) "
    "{ onRoomEvent(roomId: $room) { cursor roomId type at actorId data } }"
)


def allow_many_files() -> None:
    """Raise the limit of this process, and so of the servers that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(slots=True, eq=False)
class Event:
    """What one vote has to tell everybody in its room."""

    number: int
    path: str
    body: str
    token: str
    expected: int
    sent_at: float = 0.0
    reached: int = 0
    complete_at: float = 0.0


@dataclass(slots=True, eq=False)
class Room:
    """Subscribers that have to read the same."""

    id: str
    events: dict[str, Event] = field(default_factory=dict)
    # Trinity: what everybody has to read, whole frames only, where they end, what they tell
    stream: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)
    told: list[Event | None] = field(default_factory=list)
    cursor: int | None = None


class Subscriber(ABC):
    """A connection that follows one room."""

    def __init__(self, room: Room, port: int) -> None:
        self.room = room
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.watched = False
        self.tail = b""
        self.out_of_order = 0

    @abstractmethod
    def read(self, data: bytes) -> Iterator[Event]:
        """The events that are complete with these bytes.

        Raises:
            BenchError: something came that should not have.
        """

    def await_bytes(self, wanted: bytes) -> bytes:
        """Everything up to a read that completes what is wanted; only while connecting."""
        got = b""
        while wanted not in got:
            more = self.socket.recv(READ_AT_ONCE)
            if not more or b'"error' in more or b'_error"' in more:
                raise BenchError(f"waited for {wanted!r}, got {(got + more)[-600:]!r}")
            got += more
        return got


class AppSyncSubscriber(Subscriber):
    """`onRoomEvent` over AppSync's WebSocket."""

    def __init__(self, room: Room, port: int, seat: Seat) -> None:
        super().__init__(room, port)
        self.id = str(uuid.uuid4()).encode()  # as Amplify and Apollo do
        self.at = 0
        self.seen = 0
        authorization = {"host": f"127.0.0.1:{port}", "Authorization": seat.token}
        encoded = base64.urlsafe_b64encode(json.dumps(authorization).encode()).decode().rstrip("=")
        self.socket.sendall(
            f"GET /graphql/realtime HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"Sec-WebSocket-Protocol: graphql-ws, header-{encoded}\r\n\r\n".encode()
        )
        self.await_bytes(b'{"type":"ka"}')
        query = json.dumps({"query": EVERYTHING, "variables": {"room": room.id}})
        start = {
            "type": "start",
            "id": self.id.decode(),
            "payload": {"data": query, "extensions": {"authorization": authorization}},
        }
        self.send(0x1, json.dumps(start).encode())
        self.await_bytes(b'"start_ack"')

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a frame, masked with zeros."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2)
        self.socket.sendall(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def read(self, data: bytes) -> Iterator[Event]:
        room, first = self.room, self.seen
        same = data.replace(self.id, ANY_ID)
        at = self.at + len(same)
        seen = bisect_right(room.ends, at, first)
        if self.tail or seen == first or room.ends[seen - 1] != at:
            self._read_frames(self.tail + data)
        elif not room.stream.startswith(same, self.at):
            self._read_frames(data)
        else:
            self.at, self.seen = at, seen
        for event in room.told[first : self.seen]:
            if event is not None:
                yield event

    def _read_frames(self, data: bytes) -> None:
        """What others have not read yet, or has no whole number of frames, or a ping in it."""
        room = self.room
        position = 0
        while (frame := _frame(data, position)) is not None:
            opcode, payload, end = frame
            if opcode == 0x9:
                self.send(0xA, payload)
            elif payload != b'{"type":"ka"}':
                whole = data[position:end].replace(self.id, ANY_ID)
                if self.at == len(room.stream):
                    room.told.append(self._decode(opcode, payload))
                    room.stream += whole
                    room.ends.append(len(room.stream))
                elif not room.stream.startswith(whole, self.at):
                    raise BenchError(f"a subscriber read what others did not: {payload[:400]!r}")
                self.at += len(whole)
                self.seen += 1
            position = end
        self.tail = data[position:]

    def _decode(self, opcode: int, payload: bytes) -> Event | None:
        room = self.room
        message = json.loads(payload) if opcode == 0x1 else {}
        said = message.get("type"), message.get("id")
        if said != ("data", self.id.decode()) or "errors" in message["payload"]:
            raise BenchError(f"a subscriber was sent (opcode {opcode}) {payload[:400]!r}")
        told = message["payload"]["data"]["onRoomEvent"]
        cursor = int(told["cursor"])
        if told["roomId"] != room.id or room.cursor not in (None, cursor - 1):
            raise BenchError(f"cursor {cursor} of {told['roomId']} came after {room.cursor}")
        room.cursor = cursor
        if told["type"] != "matchFound":
            return None
        return room.events[json.loads(told["data"])["titleId"]]


def _frame(data: bytes, position: int) -> tuple[int, bytes, int] | None:
    """Opcode, payload and end of the frame that begins there, if it is all there."""
    if len(data) < position + 2:
        return None
    size, start = data[position + 1], position + 2
    if size > 125:
        start += 2 if size == 126 else 8
        if len(data) < start:
            return None
        size = int.from_bytes(data[position + 2 : start])
    end = start + size
    return None if len(data) < end else (data[position] & 0xF, data[start:end], end)


class SseSubscriber(Subscriber):
    """A topic of PocketBase's realtime API. Sizes of HTTP's chunks come before messages, unread.

    PocketBase promises no order between concurrent votes,
    so that is counted and no failure.
    """

    def __init__(self, room: Room, port: int, seat: Seat, topic: str, poster: Client) -> None:
        super().__init__(room, port)
        self.seen: set[int] = set()
        self.newest = -1
        self.room_mark = f'"{room.id}"'.encode()
        self.socket.sendall(
            f"GET /api/realtime HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        hello = self.await_bytes(b"\n\n")
        client_id = hello.partition(b'"clientId":"')[2].partition(b'"')[0].decode()
        poster.call(
            "POST",
            "/api/realtime",
            {"clientId": client_id, "subscriptions": [topic]},
            seat.token,
        )

    def read(self, data: bytes) -> Iterator[Event]:
        *messages, self.tail = (self.tail + data).split(b"\n\n")
        for message in messages:
            title = message.partition(b'"title":"')[2].partition(b'"')[0].decode()
            event = self.room.events.get(title)
            if event is None or self.room_mark not in message:
                raise BenchError(f"a subscriber was sent {message[:400]!r}")
            if event.number in self.seen:
                raise BenchError(f"a subscriber was told twice about {title}")
            self.seen.add(event.number)
            self.out_of_order += event.number < self.newest
            self.newest = max(self.newest, event.number)
            yield event


def record_topic(room: str) -> str:
    """All votes of a room, filtered by PocketBase."""
    options = json.dumps({"query": {"filter": f'room="{room}"'}}, separators=(",", ":"))
    return f"votes/*?options={quote(options)}"


def custom_topic(room: str) -> str:
    """What the hook in pb_hooks/topic.pb.js sends to."""
    return f"room/{room}"


class Publisher:
    """A kept-alive connection that posts one vote at a time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.event: Event | None = None
        self.answered = True
        self.answer = b""

    def post(self, event: Event) -> None:
        self.event, self.answered, self.answer = event, False, b""
        body = event.body.encode()
        self.socket.send(
            f"POST {event.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {event.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    def read(self, data: bytes) -> None:
        self.answer += data
        head, blank, body = self.answer.partition(b"\r\n\r\n")
        size = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not blank or (len(body) < int(size) if size else not body.endswith(b"0\r\n\r\n")):
            return
        if not head.startswith(b"HTTP/1.1 2"):
            raise BenchError(f"a vote was answered {self.answer[:600]!r}")
        self.answered = True


@dataclass(frozen=True, slots=True)
class Heard:
    """What a stretch of load came to.

    Attributes:
        seconds: from the first vote to the last delivery.
        latencies: from a vote being due to a watched subscriber having read of it, in seconds.
        missing: deliveries that had not come when waiting was over.
    """

    seconds: float
    events: int
    deliveries: int
    missing: int
    latencies: list[float]
    last_latencies: list[float]


class Audience:
    """All subscribers and publishers of one run.

    Args:
        port: of the server.
        subscribers: connected ones.
        events: votes to make, in this order.
        watched: of how many subscribers latencies are taken.
    """

    def __init__(
        self, port: int, subscribers: list[Subscriber], events: list[Event], watched: int
    ) -> None:
        self.port = port
        self.subscribers = subscribers
        self.events = deque(events)
        self.publishers: list[Publisher] = []
        self.latencies: list[float] = []
        self.deliveries = 0
        self.poll = select.epoll()
        self.memory = memoryview(bytearray(READ_AT_ONCE))
        self.readers: dict[int, tuple[socket.socket, Callable[[bytes], None]]] = {}
        for subscriber in subscribers:
            self._listen(subscriber.socket, self._hearing(subscriber))
        for subscriber in subscribers[:: max(1, len(subscribers) // watched)]:
            subscriber.watched = True
        self._settle()

    def close(self) -> None:
        for each, _ in self.readers.values():
            each.close()
        self.poll.close()

    def closed_loop(self, publishers: int, seconds: float) -> Heard:
        """Each publisher goes on when his vote is answered and has reached everybody.

        Short rests let this process read more at a time. They spare a small machine's server the
        competition, and cost each vote a millisecond or two of many.
        """
        begun = self._begin()
        waiting: set[Event] = set()
        sent: list[Event] = []
        while True:
            now = time.perf_counter()
            if now - begun < seconds and self.events:
                for publisher in self._free(publishers):
                    if self.events:
                        sent.append(self._post(publisher, now))
                        waiting.add(sent[-1])
            waiting = {event for event in waiting if not event.complete_at}
            if not waiting and all(publisher.answered for publisher in self.publishers):
                return self._heard(sent, begun)
            if now - begun > seconds + PATIENCE_SECONDS:
                raise BenchError(f"{len(waiting)} votes have not reached everybody")
            self._turn(0.05)
            time.sleep(REST_SECONDS)

    def offered(self, per_second: float, seconds: float, drain_seconds: float) -> Heard:
        """Votes at their times, whatever the server does; a connection more if all are busy."""
        begun = self._begin()
        due = deque(begun + number / per_second for number in range(round(per_second * seconds)))
        sent: list[Event] = []
        if len(due) > len(self.events):
            raise BenchError("there are not enough votes for this")
        while True:
            now = time.perf_counter()
            while due and due[0] <= now:
                free = next((one for one in self.publishers if one.answered), None)
                sent.append(self._post(free or self._publisher(), due.popleft()))
            over = not due and all(publisher.answered for publisher in self.publishers)
            if over and all(event.complete_at for event in sent):
                break
            if now > begun + seconds + drain_seconds:
                break
            self._turn(max(0.0, due[0] - now) if due else 0.05)
        return self._heard(sent, begun)

    def _begin(self) -> float:
        self.latencies = []
        self.deliveries = 0
        return time.perf_counter()

    def _heard(self, sent: list[Event], begun: float) -> Heard:
        now = time.perf_counter()
        complete = [event for event in sent if event.complete_at]
        missing = sum(event.expected - event.reached for event in sent)
        last = now if missing else max(event.complete_at for event in sent)
        return Heard(
            seconds=last - begun,
            events=len(sent),
            deliveries=self.deliveries,
            missing=missing,
            latencies=sorted(self.latencies),
            last_latencies=sorted(event.complete_at - event.sent_at for event in complete),
        )

    def _post(self, publisher: Publisher, at: float) -> Event:
        event = self.events.popleft()
        event.sent_at = at
        publisher.post(event)
        return event

    def _free(self, publishers: int) -> list[Publisher]:
        while len(self.publishers) < publishers:
            self._publisher()
        return [
            publisher
            for publisher in self.publishers
            if publisher.answered and (publisher.event is None or publisher.event.complete_at)
        ]

    def _publisher(self) -> Publisher:
        publisher = Publisher(self.port)
        self.publishers.append(publisher)
        self._listen(publisher.socket, publisher.read)
        return publisher

    def _listen(self, on: socket.socket, read: Callable[[bytes], None]) -> None:
        on.setblocking(False)
        self.readers[on.fileno()] = on, read
        self.poll.register(on.fileno(), select.EPOLLIN)

    def _hearing(self, subscriber: Subscriber) -> Callable[[bytes], None]:
        def hear(data: bytes) -> None:
            for event in subscriber.read(data):
                self.deliveries += 1
                event.reached += 1
                if subscriber.watched or event.reached == event.expected:
                    now = time.perf_counter()
                    if subscriber.watched:
                        self.latencies.append(now - event.sent_at)
                    if event.reached == event.expected:
                        event.complete_at = now

        return hear

    def _turn(self, seconds: float) -> None:
        for file, _ in self.poll.poll(seconds, 4096):
            on, read = self.readers[file]
            read(self._received(on))

    def _settle(self) -> None:
        """Drop what connecting itself has caused, until nothing more comes."""
        give_up = time.perf_counter() + PATIENCE_SECONDS
        while ready := self.poll.poll(QUIET_SECONDS):
            for file, _ in ready:
                self._received(self.readers[file][0])
            if time.perf_counter() > give_up:
                raise BenchError("subscribers are told something although nothing happens")

    def _received(self, on: socket.socket) -> bytes:
        try:
            # Into the same memory again and again: 256 KiB anew cost several times the call itself.
            size = on.recv_into(self.memory)
        except ConnectionError as error:
            raise BenchError(f"the server broke a connection: {error}") from error
        if not size:
            raise BenchError("the server closed a connection")
        return bytes(self.memory[:size])


def numbered(
    rooms: list[Room], votes: list[tuple[int, str, str, str, str]], each: int
) -> list[Event]:
    """Events for (room, title, path, body, token), each told to so many."""
    numbers = itertools.count()
    events = []
    for room, title, path, body, token in votes:
        event = Event(next(numbers), path, body, token, each)
        rooms[room].events[title] = event
        events.append(event)
    return events
