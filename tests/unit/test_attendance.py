"""Those who follow a room are kept present, and given up when they do not come back."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import pytest_socket

from trinity.domain.errors import InternalError, NotAMember, RoomNotFound
from trinity.embedded.realtime.attendance import Attendance
from trinity.embedded.realtime.connection import Connection, Limits, Subscription
from trinity.embedded.realtime.subscriptions import View

EVENTS = "Subscription.onRoomEvent"
PRESENCE = "Subscription.onPresence"
LIMITS = Limits()


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """As everywhere, but for the pair of sockets that a loop wakes itself up with."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


class Hurried(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next thing that is due whenever there is nothing to do."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            timers = self._scheduled  # type: ignore[attr-defined]
            due = [timer.when() for timer in timers if not timer.cancelled()]
            self._now = max(self._now, min(due, default=self._now))
        super()._run_once()  # type: ignore[misc]


def hurried(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=Hurried) as runner:
        runner.run(main)


async def _sink(_: dict[str, Any]) -> None:
    pass


def follows(user: str, room: str = "r1", field: str = EVENTS) -> Subscription:
    connection = Connection(_sink, LIMITS, lambda _: None)
    event = {"arguments": {"roomId": room}, "identity": {"sub": user}}
    return Subscription(connection, "1", field, View("x", (), ()), event)


class Host:
    """An attendance, and what it has had called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.dismissed: list[tuple[str, str]] = []
        self.refusal: Exception | None = None
        self.attendance = Attendance(self._call, LIMITS, self._dismiss)

    async def _call(self, function: Any, event: Any) -> None:
        self.calls.append((function.name, event["arguments"]["roomId"], event["identity"]["sub"]))
        if self.refusal is not None:
            raise self.refusal

    def _dismiss(self, room: str, user: str) -> None:
        self.dismissed.append((room, user))


def test_a_member_is_noted_every_15_to_20_seconds_while_he_follows() -> None:
    async def main() -> None:
        host = Host()
        host.attendance.begin(follows("ana"))
        await asyncio.sleep(600)
        assert set(host.calls) == {("follow_room", "r1", "ana")}
        assert 600 / 20 <= len(host.calls) <= 600 / 15

    hurried(main())


def test_several_subscriptions_of_one_member_are_noted_once() -> None:
    async def main() -> None:
        host = Host()
        for field in (EVENTS, PRESENCE, EVENTS, EVENTS):
            host.attendance.begin(follows("ana", field=field))
        for user, room in (("ben", "r1"), ("ana", "r2")):
            host.attendance.begin(follows(user, room))
        await asyncio.sleep(600)
        for room, user in (("r1", "ana"), ("r1", "ben"), ("r2", "ana")):
            assert 30 <= host.calls.count(("follow_room", room, user)) <= 40

    hurried(main())


def test_those_who_came_together_are_not_noted_together_for_ever() -> None:
    async def main() -> None:
        host = Host()
        for n in range(100):
            host.attendance.begin(follows(f"user {n}"))
        await asyncio.sleep(60)
        before = len(host.calls)
        await asyncio.sleep(1)
        assert len(host.calls) - before < 50

    hurried(main())


def test_who_follows_no_more_on_any_device_is_given_up_once_after_7_seconds() -> None:
    async def main() -> None:
        host = Host()
        both = follows("ana"), follows("ana", field=PRESENCE)
        for one in both:
            host.attendance.begin(one)
        host.attendance.end(both[0])
        await asyncio.sleep(14)
        assert host.calls == []
        host.attendance.end(both[1])
        await asyncio.sleep(6.9)
        assert host.calls == []
        await asyncio.sleep(600)
        assert host.calls == [("step_away", "r1", "ana")]
        assert host.attendance._rooms == {}

    hurried(main())


def test_who_comes_back_in_time_is_not_given_up_and_noted_again() -> None:
    async def main() -> None:
        host = Host()
        first = follows("ana")
        host.attendance.begin(first)
        host.attendance.end(first)
        await asyncio.sleep(6.9)
        host.attendance.begin(follows("ana"))
        await asyncio.sleep(600)
        assert set(host.calls) == {("follow_room", "r1", "ana")}
        assert 30 <= len(host.calls) <= 40

    hurried(main())


@pytest.mark.parametrize("refusal", [NotAMember(), RoomNotFound()])
def test_who_is_no_member_any_more_is_dismissed(refusal: Exception) -> None:
    async def main() -> None:
        host = Host()
        host.refusal = refusal
        host.attendance.begin(follows("ana"))
        await asyncio.sleep(20)
        assert host.dismissed == [("r1", "ana")]

    hurried(main())


def test_what_went_wrong_for_another_reason_is_tried_again() -> None:
    async def main() -> None:
        host = Host()
        host.refusal = InternalError()
        one = follows("ana")
        host.attendance.begin(one)
        await asyncio.sleep(60)
        assert len(host.calls) >= 3
        assert host.dismissed == []
        host.attendance.end(one)
        await asyncio.sleep(7)
        assert host.calls[-1] == ("step_away", "r1", "ana")

    hurried(main())


def test_who_follows_and_is_not_shown_is_brought_back_within_a_second() -> None:
    async def main() -> None:
        host = Host()
        for user in ("ana", "ben", "cleo"):
            host.attendance.begin(follows(user))
        gone = follows("dan")
        host.attendance.begin(gone)
        host.attendance.end(gone)
        host.attendance.begin(follows("ana", "r2"))
        for _ in range(4):
            host.attendance.compare("r1", ["ana"])
        host.attendance.compare("r3", [])
        await asyncio.sleep(1)
        assert sorted(host.calls) == [("follow_room", "r1", "ben"), ("follow_room", "r1", "cleo")]
        await asyncio.sleep(6)
        assert host.calls[2:] == [("step_away", "r1", "dan")]  # who has gone is not brought back

    hurried(main())
