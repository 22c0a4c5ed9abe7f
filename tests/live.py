"""A client of the real-time endpoint that shows every frame as it is."""

import base64
import itertools
import json
import socket
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

WITHIN_S = 15.0
EVERYTHING = (
    "subscription Follow($room: ID!) "
    "{ onRoomEvent(roomId: $room) { cursor roomId type at actorId data } }"
)

Frame = dict[str, Any]


def encoded(given: Any, *, padded: bool = False, urlsafe: bool = True) -> str:
    """Return something as base64 of JSON."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.standard_b64encode
    text = encode(json.dumps(given).encode()).decode()
    return text if padded else text.rstrip("=")


class Live:
    """A connection to the real-time endpoint.

    Args:
        base_url: of the server.
        token: of whoever connects, in the sub-protocol; None to say it in another way.
        path: with a query, if there is one.
        protocols: to offer.
        headers: of the upgrade request.
        options: of `websockets`.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        path: str = "/graphql/realtime",
        protocols: Sequence[str] | None = ("graphql-ws",),
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        url = urlsplit(base_url)
        self.host = url.netloc
        self.token = token
        self._ids = itertools.count(1)
        offered = list(protocols or ())
        if token is not None:
            offered.append(f"header-{encoded({'host': self.host, 'Authorization': token})}")
        self.socket = connect(
            f"ws://{self.host}{path}",
            subprotocols=offered or None,
            additional_headers=dict(headers or {}),
            compression=None,
            ping_interval=None,
            **options,
        )

    def __enter__(self) -> "Live":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def break_off(self) -> None:
        """Be gone without a word, as a phone in a tunnel is."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)
        self.socket.socket.close()

    def send(self, message: Frame | str | bytes) -> None:
        self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    def next(self, *, within_s: float = WITHIN_S) -> Frame:
        """Return the next frame that is no `ka`."""
        while True:
            frame = self.socket.recv(timeout=within_s)
            assert isinstance(frame, str)
            message: Frame = json.loads(frame)
            if message != {"type": "ka"}:
                return message

    def closed(self) -> int:
        """Return the code of the server's close frame, which comes next."""
        with pytest.raises(ConnectionClosed) as closed:
            self.next()
        assert closed.value.rcvd is not None, "the connection broke off"
        return closed.value.rcvd.code

    def start_message(
        self,
        room: str | None = None,
        *,
        query: str = EVERYTHING,
        variables: Any = None,
        token: str | None = None,
        name: str | None = None,
        **more: Any,
    ) -> Frame:
        """Return a `start`."""
        variables = {"room": room} if variables is None else variables
        authorization = {"host": self.host, "Authorization": token or self.token}
        return {
            "type": "start",
            "id": name or str(next(self._ids)),
            "payload": {
                "data": json.dumps({"query": query, "variables": variables, **more}),
                "extensions": {"authorization": authorization},
            },
        }

    def start(self, room: str | None = None, **options: Any) -> str:
        """Subscribe, and return the id when the subscription is live."""
        message = self.start_message(room, **options)
        self.send(message)
        answer = self.next()
        assert answer == {"type": "start_ack", "id": message["id"]}, answer
        name: str = message["id"]
        return name

    def event(self, name: str | None = None, *, kind: str | None = None) -> Any:
        """Return what the next `data` shows; with `kind`, the next one of that type."""
        while True:
            frame = self.next()
            assert frame["type"] == "data", frame
            assert name in (None, frame["id"]), frame
            [shown] = frame["payload"]["data"].values()
            if kind in (None, shown["type"]):
                return shown

    def says_nothing(self) -> bool:
        """Tell whether nothing has been said so far: answers come in the order of questions."""
        self.send({"type": "connection_init"})
        answer = self.next()
        assert answer["type"] == "connection_ack", f"it said something: {answer}"
        return True
