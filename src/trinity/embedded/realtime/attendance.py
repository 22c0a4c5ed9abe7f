"""Keeps those who follow a room present in it for as long as they do.

Presence is a lease that functions take and give up (`store/presence.py`). This host knows what
AppSync tells nobody: how long a subscription lasts. So it has the function of the subscription
called again and again meanwhile, and the lease given up when the last one has ended and nobody
comes back.
"""

import asyncio
import random
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from trinity.domain.errors import NotAMember, RoomNotFound
from trinity.embedded.graphql.api import Call
from trinity.embedded.realtime.connection import Limits, Subscription
from trinity.topology import FUNCTIONS

_FUNCTIONS = {field: function for function in FUNCTIONS for field in function.fields}


class _Follower:
    """A member who follows a room, or did so a moment ago.

    Attributes:
        subscriptions: those that last, of all devices.
        timer: for what is to be done next.
    """

    def __init__(self) -> None:
        self.subscriptions: dict[Subscription, None] = {}
        self.timer: asyncio.TimerHandle | None = None


class Attendance:
    """Who follows which room. All of it runs in one loop.

    Args:
        call: calls a function with an event.
        limits: see there.
        dismiss: ends the subscriptions of somebody who is no member any more.
    """

    def __init__(self, call: Call, limits: Limits, dismiss: Callable[[str, str], None]) -> None:
        self._call = call
        self._limits = limits
        self._dismiss = dismiss
        self._rooms: dict[str, dict[str, _Follower]] = {}

    def begin(self, subscription: Subscription) -> None:
        """Note a subscription that has begun; its function was called for that."""
        followers = self._rooms.setdefault(subscription.room, {})
        follower = followers.setdefault(subscription.user, _Follower())
        follower.subscriptions[subscription] = None
        if len(follower.subscriptions) == 1:
            self._renew_later(follower)

    def end(self, subscription: Subscription) -> None:
        """Note a subscription that has ended."""
        follower = self._rooms[subscription.room][subscription.user]
        del follower.subscriptions[subscription]
        if not follower.subscriptions:
            self._later(follower, self._limits.back_s, self._give_up, subscription)

    def compare(self, room: str, online: Collection[str]) -> None:
        """Bring back whoever follows a room and is not among those who are said to be there.

        Another device of his has given the lease up, or the machine was asleep.
        """
        for user, follower in self._rooms.get(room, {}).items():
            if follower.subscriptions and user not in online:
                # Not at once: when many come together, most of what is shown is on its way.
                self._later(follower, random.uniform(0, 1.0), self._renew, follower)  # noqa: S311

    def _renew_later(self, follower: _Follower) -> None:
        # Those who came together, as after a restart, are not to come together again and again.
        pause = self._limits.renew_s * random.uniform(1.0, 1.3)  # noqa: S311
        self._later(follower, pause, self._renew, follower)

    def _renew(self, follower: _Follower) -> None:
        self._renew_later(follower)
        subscription = next(iter(follower.subscriptions))
        asked = self._ask(subscription.field, subscription)
        asked.add_done_callback(partial(self._renewed, subscription))

    def _renewed(self, subscription: Subscription, asked: "asyncio.Future[Any]") -> None:
        # Whatever else went wrong is in the log of the function, and may go well the next time.
        if not asked.cancelled() and isinstance(asked.exception(), NotAMember | RoomNotFound):
            self._dismiss(subscription.room, subscription.user)

    def _give_up(self, last: Subscription) -> None:
        followers = self._rooms[last.room]
        del followers[last.user]
        if not followers:
            del self._rooms[last.room]
        # Whatever goes wrong: the lease ends by itself.
        self._ask("Mutation.stepAway", last).add_done_callback(asyncio.Future.exception)

    def _ask(self, field: str, subscription: Subscription) -> "asyncio.Future[Any]":
        return asyncio.ensure_future(self._call(_FUNCTIONS[field], subscription.event))

    def _later(
        self, follower: _Follower, seconds: float, act: Callable[..., None], *arguments: Any
    ) -> None:
        if follower.timer is not None:
            follower.timer.cancel()
        follower.timer = asyncio.get_running_loop().call_later(seconds, act, *arguments)
