"""What notices say, and who may be told what: on a real table, with notifiers that a test owns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes import NOON, World, title_id
from trinity.common import sealed, unsubscribing
from trinity.common.rate_limits import PER_ACCOUNT, RateLimits
from trinity.domain import errors
from trinity.domain.domain_events import DomainEvent, Fact, MatchFound
from trinity.domain.ids import DAY, HOUR, MINUTE, Millis, RoomId, UserId
from trinity.domain.notices import (
    WEBHOOK_FAILURES,
    Browser,
    Channels,
    Notice,
    Preferences,
    Webhook,
)
from trinity.domain.rooms import OPEN_FOR
from trinity.domain.users import REFRESH_TOKEN_FOR, User
from trinity.handlers.auth.forgot_password import ForgotPassword, forgot_password
from trinity.handlers.auth.reset_password import ResetPassword, reset_password
from trinity.handlers.notifications.add_push_subscription import (
    AddPushSubscription,
    PushKeys,
    add_push_subscription,
)
from trinity.handlers.notifications.add_webhook import AddWebhook, add_webhook
from trinity.handlers.notifications.confirm_unsubscribe import (
    ConfirmUnsubscribe,
    confirm_unsubscribe,
)
from trinity.handlers.notifications.list_webhooks import list_webhooks
from trinity.handlers.notifications.remove_webhook import RemoveWebhook, remove_webhook
from trinity.handlers.notifications.unsubscribe import Unsubscribe, unsubscribe
from trinity.handlers.notifications.update_notifications import (
    Choices,
    UpdateNotifications,
    update_notifications,
)
from trinity.handlers.queues.deliver_email import deliver_email
from trinity.handlers.queues.deliver_push import deliver_push
from trinity.handlers.queues.deliver_webhook import deliver_webhook
from trinity.handlers.queues.notify import notify
from trinity.handlers.rooms.invite import Invite, invite
from trinity.handlers.users.delete_me import delete_me
from trinity.ports import EndpointGone, Refused, Unavailable
from trinity.store import deliveries, keys, notices, presence, rooms, sessions, users

DELIVER = {"email": deliver_email, "push": deliver_push, "webhook": deliver_webhook}
POINT, CHANCE = "B" + "A" * 86, "A" * 22


class House:
    """A world with short words about notices."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.ana = self.user("ana")
        self.ben = self.user("ben")
        self.room = self.world.create(self.ana, stop_at="never")
        self.world.join(self.ben, self.room.code)

    def user(self, name: str) -> UserId:
        """Register somebody."""
        user = User(
            id=UserId(self.world.ids.new()),
            name=name.title(),
            created_at=NOON,
            email=f"{name}@example.org",
            password_hash="x",
        )
        users.register(self.world.table, user, was_guest=False)
        return user.id

    def browser(self, user: UserId, endpoint: str = "https://push.example/1") -> str:
        """Let a browser of somebody who is signed in show notices."""
        token = sessions.start(
            self.world.table, self.world.ids, user, Millis(self.world.clock.time)
        )
        browser = Browser(
            id=self.world.ids.new(),
            endpoint=endpoint,
            p256dh=POINT,
            auth=CHANCE,
            session=sessions.family(token),
            created_at=self.world.clock.now(),
        )
        notices.add_browser(self.world.table, user, browser)
        return browser.id

    def webhook(self, user: UserId, url: str = "https://hook.example/1") -> str:
        shape = self.world.call(add_webhook, AddWebhook(url=url), user)
        return str(shape.id)

    def prefer(self, user: UserId, **changes: dict[str, bool]) -> Preferences:
        choices = {name: Choices(**channels) for name, channels in changes.items()}
        request = UpdateNotifications(**choices)
        return self.world.call(update_notifications, request, user)

    def event(self, fact: Fact, number: int = 1) -> DomainEvent:
        return DomainEvent(
            id=f"event-{type(fact).__name__}-{number}",
            type=type(fact).__name__,
            version=fact.version,
            occurred=NOON,
            correlation_id="request-1",
            data=msgspec.to_builtins(fact),
        )

    def match(self, number: int = 1, room: str | None = None) -> DomainEvent:
        """A match that both agreed on."""
        return self.event(
            MatchFound(
                room_id=RoomId(room or self.room.id),
                title_id=title_id(number),
                title=f"Film {number}",
                user_ids=(self.ana, self.ben),
                rule="unanimous",
                at=NOON,
            ),
            number,
        )

    def invite(self, by: UserId, **whom: str) -> None:
        self.world.call(invite, Invite(room_id=RoomId(self.room.id), **whom), by)

    def invitations(self) -> list[DomainEvent]:
        """What the change feed has to tell of invitations."""
        return [event for event in self.world.events(0) if event.type == "MemberInvited"]

    def notify(self, *events: DomainEvent) -> list[Notice]:
        """Let the function see events; return the notices that it made."""
        for event in events:
            self.world.call(notify, event=event)
        return self.take()

    def take(self) -> list[Notice]:
        """Take all notices out of the queues."""
        found: list[Notice] = []
        for channel in DELIVER:
            while taken := self.world.queues.receive(f"deliver-{channel}"):
                found += [msgspec.json.decode(m.body, type=Notice) for m in taken]
                self.world.queues.delete(f"deliver-{channel}", [m.receipt for m in taken])
        return found

    def deliver(self, *made: Notice) -> None:
        for notice in made:
            self.world.call(DELIVER[notice.channel], notice=notice)

    def tell(self, *events: DomainEvent) -> None:
        """Let events have all their consequences."""
        self.deliver(*self.notify(*events))

    def items(self, user: UserId) -> list[str]:
        return [item["SK"] for item in self.world.table.query(keys.user_pk(user)).items]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.world.store.close()


def endpoints(made: list[Notice]) -> set[tuple[str, str]]:
    return {(notice.channel, notice.endpoint) for notice in made}


# ------------------------------------------------------------------------------------ whom and how


def test_whoever_has_said_nothing_is_mailed_invitations_and_nothing_else(house: House) -> None:
    assert notices.preferences(house.world.table, house.ana) == Preferences(
        match_found=Channels(email=False, push=True, webhook=True),
        invited=Channels(email=True, push=True, webhook=True),
    )
    assert house.notify(house.match()) == []


def test_a_match_is_told_to_each_member_at_each_endpoint(house: House) -> None:
    first = house.browser(house.ana)
    second = house.browser(house.ana, "https://push.example/2")
    hook = house.webhook(house.ben)
    house.prefer(house.ben, match_found={"email": True})
    made = house.notify(house.match())
    assert {(n.user_id, n.channel, n.endpoint) for n in made} == {
        (house.ana, "push", first),
        (house.ana, "push", second),
        (house.ben, "webhook", hook),
        (house.ben, "email", ""),
    }
    assert len({notice.id for notice in made}) == 4


def test_whoever_is_in_the_room_just_now_sees_it_there(house: House) -> None:
    house.browser(house.ana)
    house.browser(house.ben)
    room = rooms.get(house.world.table, RoomId(house.room.id))
    presence.note(house.world.table, room, house.ana, house.world.clock.now())
    assert [notice.user_id for notice in house.notify(house.match())] == [house.ben]
    house.world.clock.advance(presence.LEASE)
    away = {notice.user_id for notice in house.notify(house.match())}
    assert away == {house.ana, house.ben}


def test_whoever_has_left_is_not_told(house: House) -> None:
    house.browser(house.ben)
    house.world.leave(house.ben, house.room.id)
    assert house.notify(house.match()) == []


def test_whoever_leaves_before_he_is_told_is_not_told(house: House) -> None:
    house.browser(house.ben)
    made = house.notify(house.match())
    house.world.leave(house.ben, house.room.id)
    house.deliver(*made)
    assert house.world.push.told == []


def test_a_room_that_is_gone_has_nothing_to_tell(house: House) -> None:
    house.browser(house.ana)
    made = house.notify(house.match())
    house.world.table.delete(keys.room(RoomId(house.room.id)))
    house.deliver(*made)
    assert house.notify(house.match(2)) == []
    assert house.world.push.told == []


def test_each_channel_can_be_switched_off_for_each_kind(house: House) -> None:
    house.browser(house.ana)
    house.webhook(house.ana)
    house.prefer(house.ana, match_found={"push": False})
    assert {n.channel for n in house.notify(house.match())} == {"webhook"}
    chosen = house.prefer(house.ana, match_found={"push": True, "webhook": False})
    assert chosen.match_found == Channels(email=False, push=True, webhook=False)
    assert chosen.invited == Channels()
    assert {n.channel for n in house.notify(house.match())} == {"push"}


def test_notices_name_the_request_that_led_to_them_and_nobody_by_address(house: House) -> None:
    house.browser(house.ana)
    house.invite(house.ana, email="cleo@example.org")
    [invited] = house.invitations()
    made = house.notify(house.match(), invited)
    assert {notice.correlation_id for notice in made} == {"request-1", invited.correlation_id}
    for secret in ("example.org", "push.example", CHANCE):
        assert secret not in msgspec.json.encode(made).decode()


# ------------------------------------------------------------------------------------- what it says


def test_a_match_is_told_with_its_title_and_its_room_and_nobodys_vote(house: House) -> None:
    house.browser(house.ana)
    house.tell(house.match())
    [told] = house.world.push.told
    assert told.content.title == "It’s a match: Film 1"
    assert told.content.text == f"Your group in “{house.room.name}” agreed on “Film 1”."
    assert told.content.link == f"https://trinity.example/r/{house.room.code}"
    assert house.ben not in str(told.content)
    assert "Ben" not in str(told.content)


def test_names_are_those_of_the_moment_it_is_sent(house: House) -> None:
    house.browser(house.ana)
    made = house.notify(house.match())
    house.world.update(house.ana, house.room.id, name="Renamed")
    house.deliver(*made)
    assert "Renamed" in house.world.push.told[0].content.text


# ------------------------------------------------------------------------------------------ e-mail


def test_of_one_room_nobody_gets_more_than_a_mail_an_hour(house: House) -> None:
    house.prefer(house.ana, match_found={"email": True})
    house.tell(house.match(1), house.match(2))
    assert [told.content.title for told in house.world.email.told] == ["It’s a match: Film 1"]
    house.world.clock.advance(HOUR + 1)
    house.tell(house.match(2), house.match(3))  # the second was spared for good
    assert [told.content.title for told in house.world.email.told] == [
        "It’s a match: Film 1",
        "It’s a match: Film 3",
    ]


def test_another_room_has_an_hour_of_its_own(house: House) -> None:
    house.prefer(house.ana, match_found={"email": True})
    other = house.world.create(house.ana)
    house.tell(house.match(1), house.match(2, room=other.id))
    assert len(house.world.email.told) == 2


def test_a_mail_that_could_not_be_sent_keeps_its_hour(house: House) -> None:
    house.prefer(house.ana, match_found={"email": True})
    first, second = house.notify(house.match(1), house.match(2))
    house.world.email.failures = [Unavailable("no")]
    with pytest.raises(Unavailable):
        house.deliver(first)
    house.deliver(second, first)
    assert [told.content.title for told in house.world.email.told] == ["It’s a match: Film 1"]


def test_whoever_unsubscribes_gets_not_even_what_is_on_its_way(house: House) -> None:
    house.prefer(house.ana, match_found={"email": True})
    made = house.notify(house.match())
    house.prefer(house.ana, match_found={"email": False})
    house.deliver(*made)
    assert house.world.email.told == []


def test_a_guest_has_no_address_and_gets_no_mail(house: House) -> None:
    guest = house.world.guest()
    house.world.join(guest, house.room.code)
    house.prefer(guest, match_found={"email": True})
    house.tell(house.match())
    assert house.world.email.told == []


# -------------------------------------------------------------------------------------------- push


def test_a_browser_that_is_gone_is_forgotten(house: House) -> None:
    house.browser(house.ana)
    house.world.push.failures = [EndpointGone("410")]
    house.tell(house.match(1))
    assert house.notify(house.match(2)) == []
    assert house.world.push.told == []


def test_whoever_has_signed_out_is_told_nothing_there(house: House) -> None:
    house.browser(house.ana)
    made = house.notify(house.match(1))
    sessions.end_all(house.world.table, house.ana)
    house.deliver(*made)
    assert house.world.push.told == []
    assert house.notify(house.match(2)) == []


def test_a_session_that_expired_counts_as_signed_out(house: House) -> None:
    house.browser(house.ana)
    house.world.clock.advance(REFRESH_TOKEN_FOR)
    house.tell(house.match())
    assert house.world.push.told == []


def subscribe(house: House, endpoint: str = "https://push.example/1") -> Any:
    request = AddPushSubscription(endpoint=endpoint, keys=PushKeys(p256dh=POINT, auth=CHANCE))
    return house.world.call(add_push_subscription, request, house.ana)


def test_the_same_browser_is_there_once(house: House) -> None:
    assert subscribe(house).id == subscribe(house).id
    assert len(notices.reach(house.world.table, house.ana).browsers) == 1


def test_of_too_many_browsers_the_oldest_is_forgotten(house: House) -> None:
    for number in range(notices.MOST_BROWSERS + 2):
        house.world.clock.advance(1)
        subscribe(house, f"https://push.example/{number}")
    kept = [b.endpoint for b in notices.reach(house.world.table, house.ana).browsers]
    assert kept == [f"https://push.example/{n}" for n in range(2, notices.MOST_BROWSERS + 2)]


# ---------------------------------------------------------------------------------------- webhooks


def test_a_secret_is_told_once_and_is_one_of_standard_webhooks(house: House) -> None:
    made = house.world.call(add_webhook, AddWebhook(url="https://hook.example/1"), house.ana)
    assert made.secret.startswith("whsec_")
    listed = house.world.call(list_webhooks, None, house.ana)
    assert [webhook.id for webhook in listed.items] == [made.id]
    assert made.secret not in str(listed)


def test_there_are_five_webhooks_at_the_most(house: House) -> None:
    for number in range(notices.MOST_WEBHOOKS):
        house.webhook(house.ana, f"https://hook.example/{number}")
    with pytest.raises(errors.InvalidRequest, match="five"):
        house.webhook(house.ana)
    house.webhook(house.ben)


def test_a_webhook_that_is_removed_is_told_nothing_more(house: House) -> None:
    hook = house.webhook(house.ana)
    made = house.notify(house.match())
    house.world.call(remove_webhook, RemoveWebhook(webhook_id=hook), house.ana)
    house.deliver(*made)
    assert house.world.webhook.told == []
    with pytest.raises(errors.NotFound):
        house.world.call(remove_webhook, RemoveWebhook(webhook_id=hook), house.ana)


def test_nobody_removes_the_webhook_of_another(house: House) -> None:
    hook = house.webhook(house.ana)
    with pytest.raises(errors.NotFound):
        house.world.call(remove_webhook, RemoveWebhook(webhook_id=hook), house.ben)
    assert len(notices.webhooks(house.world.table, house.ana)) == 1


def hook_of(house: House) -> Webhook:
    [hook] = notices.webhooks(house.world.table, house.ana)
    return hook


def test_a_webhook_that_fails_too_often_in_a_row_is_switched_off(house: House) -> None:
    house.webhook(house.ana)
    for number in range(WEBHOOK_FAILURES - 1):
        house.world.webhook.failures = [Refused("400")]
        house.tell(house.match(number))
    assert not hook_of(house).disabled
    late = house.notify(house.match(1000))
    house.world.webhook.failures = [Refused("400")]
    house.tell(house.match(1001))
    assert hook_of(house).disabled
    house.deliver(*late)
    assert house.notify(house.match(1002)) == []
    assert house.world.webhook.told == []
    assert house.world.call(list_webhooks, None, house.ana).items[0].disabled


def test_a_success_forgets_the_failures_before_it(house: House) -> None:
    house.webhook(house.ana)
    for number in range(3 * WEBHOOK_FAILURES):
        if number % 20:
            house.world.webhook.failures = [Refused("400")]
        house.tell(house.match(number))
    assert not hook_of(house).disabled


def test_attempts_that_may_pass_count_too(house: House) -> None:
    house.webhook(house.ana)
    [notice] = house.notify(house.match())
    house.world.webhook.failures = [Unavailable("503")] * WEBHOOK_FAILURES
    for _ in range(WEBHOOK_FAILURES):
        with pytest.raises(Unavailable):
            house.deliver(notice)
    assert hook_of(house).disabled
    house.deliver(notice)  # and it is let go
    assert house.world.webhook.told == []


def test_a_webhook_that_says_it_is_gone_is_switched_off_at_once(house: House) -> None:
    house.webhook(house.ana)
    house.world.webhook.failures = [EndpointGone("410")]
    house.tell(house.match())
    assert hook_of(house).disabled


# ------------------------------------------------------------------------------------- invitations


def test_a_user_who_is_invited_is_told_as_he_likes(house: House) -> None:
    cleo = house.user("cleo")
    house.browser(cleo)
    house.invite(house.ben, user_id=cleo)
    house.tell(*house.invitations())
    [mail], [push] = house.world.email.told, house.world.push.told
    assert mail.to == "cleo@example.org"
    assert mail.content.title == push.content.title == f"Ben invites you to “{house.room.name}”"
    assert mail.content.link == f"https://trinity.example/r/{house.room.code}"


def test_an_address_with_an_account_is_its_user(house: House) -> None:
    cleo = house.user("cleo")
    house.browser(cleo)
    house.invite(house.ana, email=" Cleo@Example.org ")
    house.tell(*house.invitations())
    assert len(house.world.email.told) == len(house.world.push.told) == 1


def test_an_address_without_an_account_is_mailed(house: House) -> None:
    house.invite(house.ana, email="dora@example.org")
    house.tell(*house.invitations())
    [mail] = house.world.email.told
    assert mail.to == "dora@example.org"
    assert mail.content.unsubscribe_url.startswith("https://trinity.example/api/unsubscribe/")


def test_the_same_person_is_invited_to_a_room_once_whoever_does_it(house: House) -> None:
    cleo = house.user("cleo")
    house.invite(house.ana, user_id=cleo)
    house.invite(house.ben, email="cleo@example.org")
    for inviter in (house.ana, house.ben, house.ana):
        house.invite(inviter, email="dora@example.org")
    assert len(house.invitations()) == 2


def test_a_week_later_somebody_may_be_invited_again(house: House) -> None:
    house.invite(house.ana, email="dora@example.org")
    house.world.clock.advance(7 * DAY + 1000)
    while house.world.store.sweep_expired(house.world.clock.now() // 1000):
        pass
    house.world.update(house.ana, house.room.id, state="open")
    house.invite(house.ana, email="dora@example.org")
    assert len(house.invitations()) == 2


def test_nobody_is_invited_to_where_he_is_or_was_put_out_of(house: House) -> None:
    house.invite(house.ana, user_id=house.ben)
    house.invite(house.ana, email="ana@example.org")
    house.world.kick(house.ana, house.room.id, house.ben)
    house.invite(house.ana, email="ben@example.org")
    assert house.invitations() == []


def test_whoever_has_come_before_the_mail_gets_none(house: House) -> None:
    cleo = house.user("cleo")
    house.invite(house.ana, user_id=cleo)
    made = house.notify(*house.invitations())
    house.world.join(cleo, house.room.code)
    house.deliver(*made)
    assert house.world.email.told == []


def test_an_invitation_to_nobody_looks_like_any_other(house: House) -> None:
    house.invite(house.ana, user_id="nobody")
    assert house.invitations() == []


def test_only_members_invite_and_only_to_open_rooms(house: House) -> None:
    cleo = house.user("cleo")
    with pytest.raises(errors.NotAMember):
        house.invite(cleo, email="dora@example.org")
    house.world.clock.advance(OPEN_FOR)
    with pytest.raises(errors.RoomClosed):
        house.invite(house.ana, email="dora@example.org")
    house.world.update(house.ana, house.room.id, state="closed")
    with pytest.raises(errors.RoomClosed):
        house.invite(house.ana, email="dora@example.org")


@pytest.mark.parametrize("whom", [{}, {"email": "dora@example.org", "user_id": "x"}])
def test_an_invitation_names_one_person(house: House, whom: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidRequest):
        house.invite(house.ana, **whom)


def test_nobodys_mailbox_is_filled_however_many_rooms_are_opened(house: House) -> None:
    house.world.limits = RateLimits(house.world.cache)
    most = PER_ACCOUNT["invited"].most
    for _ in range(most):
        house.invite(house.ana, email="dora@example.org")
    with pytest.raises(errors.RateLimited):
        house.invite(house.ben, email="dora@example.org")
    house.invite(house.ben, email="emil@example.org")


def test_once_a_mail_is_out_neither_address_nor_inviter_is_kept(house: House) -> None:
    house.invite(house.ana, email="dora@example.org")
    cleo = house.user("cleo")
    house.invite(house.ana, user_id=cleo)
    house.tell(*house.invitations())
    pages = [house.world.table.query(keys.room_pk(RoomId(house.room.id)), prefix=keys.INVITE)]
    pages.append(house.world.table.query(keys.user_pk(cleo), prefix=keys.INVITE))
    kept = [item for page in pages for item in page.items]
    assert len(kept) == 2
    assert "dora" not in str(kept)
    assert house.ana not in str(kept)


def test_a_mail_that_comes_again_after_its_address_was_forgotten_is_no_fault(house: House) -> None:
    house.invite(house.ana, email="dora@example.org")
    made = house.notify(*house.invitations())
    house.deliver(*made, *made)
    assert len(house.world.email.told) == 1


# ----------------------------------------------------------------------------------- unsubscribing


def token_of(house: House, told: int = 0) -> str:
    return house.world.email.told[told].content.unsubscribe_url.rpartition("/")[2]


def test_the_link_of_a_mail_stops_mails_of_its_kind_and_no_others(house: House) -> None:
    house.prefer(house.ana, match_found={"email": True})
    house.tell(house.match())
    page = house.world.call(confirm_unsubscribe, ConfirmUnsubscribe(token=token_of(house)))
    assert b"matches of your groups" in page.body
    assert notices.preferences(house.world.table, house.ana).match_found.email
    for _ in range(2):
        house.world.call(unsubscribe, Unsubscribe(token=token_of(house)))
    now = notices.preferences(house.world.table, house.ana)
    assert not now.match_found.email
    assert now.invited.email
    assert now.match_found.push


def test_whoever_has_no_account_can_stop_invitations_too(house: House) -> None:
    house.invite(house.ana, email="dora@example.org")
    house.tell(*house.invitations())
    house.world.call(unsubscribe, Unsubscribe(token=token_of(house)))
    other = house.world.create(house.ben)
    house.world.call(invite, Invite(room_id=RoomId(other.id), email="dora@example.org"), house.ben)
    house.tell(*house.invitations())
    assert len(house.world.email.told) == 1
    stored = [item for item in house.world.store.changes_after(0, 10_000) if "MUTED" in item.pk]
    assert "dora" not in str(stored)


@pytest.mark.parametrize("token", ["", "x", "A" * 60, "é", "=" * 5])
def test_a_link_that_is_none_of_ours_changes_nothing(house: House, token: str) -> None:
    for use_case, request in (
        (confirm_unsubscribe, ConfirmUnsubscribe(token=token)),
        (unsubscribe, Unsubscribe(token=token)),
    ):
        with pytest.raises(errors.InvalidToken):
            house.world.call(use_case, request)


def test_a_text_that_was_sealed_for_something_else_is_no_link(house: House) -> None:
    key = house.world.secrets.cursor_key()
    payload = msgspec.json.encode(unsubscribing.Unsubscription("invited", house.ana, ""))
    with pytest.raises(errors.InvalidToken):
        unsubscribing.read(key, sealed.seal(key, "rooms", payload))
    assert unsubscribing.read(key, sealed.seal(key, "unsubscribe", payload)).user_id == house.ana


def test_an_account_that_is_gone_can_be_unsubscribed(house: House) -> None:
    house.prefer(house.ana, match_found={"email": True})
    house.tell(house.match())
    house.world.call(delete_me, None, house.ana)
    house.world.call(unsubscribe, Unsubscribe(token=token_of(house)))
    assert house.items(house.ana) == []


# --------------------------------------------------------------------------- forgotten passwords


def forget(house: House, address: str = "ana@example.org") -> list[Notice]:
    """Let somebody ask for a mail; return the notices that come of it."""
    since = house.world.store.last_seq
    house.world.call(forgot_password, ForgotPassword(email=address))
    now = house.world.clock.now()  # changes are timed by the store's own clock
    return house.notify(
        *(
            msgspec.structs.replace(event, occurred=now)
            for event in house.world.events(since)
            if event.type == "PasswordForgotten"
        )
    )


def reset(house: House, token: str, password: str = "a new password") -> None:
    house.world.call(reset_password, ResetPassword(token=token, password=password))


def test_the_token_of_a_mail_is_made_when_it_is_sent_and_no_queue_holds_it(house: House) -> None:
    [notice] = forget(house)
    keys_written = [change.pk for change in house.world.store.changes_after(0, 10_000)]
    assert not any(pk.startswith("RESET#") for pk in keys_written)
    house.deliver(notice, notice)
    [mail] = house.world.email.told
    assert mail.to == "ana@example.org"
    assert mail.content.unsubscribe_url == ""
    token = mail.content.link.removeprefix("https://trinity.example/#reset=")
    assert token not in msgspec.json.encode(notice).decode()
    reset(house, token)


def test_of_an_address_without_an_account_nothing_is_told(house: House) -> None:
    assert forget(house, "nobody@example.org") == []
    assert forget(house, "no address") == []


def test_each_wish_for_a_mail_is_one_mail(house: House) -> None:
    house.deliver(*forget(house), *forget(house))
    assert len(house.world.email.told) == 2


def test_no_preference_keeps_somebody_from_his_password(house: House) -> None:
    house.prefer(house.ana, invited={"email": False})
    house.deliver(*forget(house))
    assert len(house.world.email.told) == 1


def test_a_mail_that_nobody_waits_for_any_more_is_not_sent(house: House) -> None:
    [notice] = forget(house)
    house.world.clock.advance(HOUR + MINUTE)
    house.deliver(notice)
    assert house.world.email.told == []


def test_an_account_that_was_removed_gets_no_mail_to_reset_it(house: House) -> None:
    [notice] = forget(house)
    house.world.call(delete_me, None, house.ana)
    house.deliver(notice)
    assert house.world.email.told == []
    assert house.items(house.ana) == []


# --------------------------------------------------------------------------------------- deletion


def test_whoever_removes_his_account_leaves_nothing_about_notices(house: House) -> None:
    house.prefer(house.ben, match_found={"email": True})
    house.browser(house.ben)
    house.webhook(house.ben)
    other = house.world.create(house.ana)
    house.world.call(invite, Invite(room_id=RoomId(other.id), user_id=house.ben), house.ana)
    house.tell(house.match(), *house.invitations())
    kinds = {sk.partition("#")[0] for sk in house.items(house.ben)}
    assert {"NOTICE", "SENT", "MAILED", "INVITE"} <= kinds
    made = house.notify(house.match(2), house.match(3))
    house.world.call(delete_me, None, house.ben)
    assert house.items(house.ben) == []
    house.deliver(*made)
    assert house.items(house.ben) == []


def test_nothing_can_be_added_to_an_account_that_is_gone(house: House) -> None:
    house.world.call(delete_me, None, house.ben)
    with pytest.raises(errors.Unauthenticated):
        house.prefer(house.ben, invited={"email": False})
    with pytest.raises(errors.Unauthenticated):
        house.webhook(house.ben)
    with pytest.raises(errors.Unauthenticated):
        house.browser(house.ben)
    house.invite(house.ana, user_id=house.ben)
    assert [sk for sk in house.items(house.ben) if "SESSION" not in sk] == []


# ------------------------------------------------------------------------------------------- claims


def test_a_notice_that_is_being_sent_is_left_alone_for_as_long_as_that_takes(house: House) -> None:
    house.browser(house.ana)
    [notice] = house.notify(house.match())
    claim = deliveries._claim(house.world.table, notice, "somebody else", house.world.clock.now())
    assert claim is not None
    house.world.clock.advance(20_000)
    with pytest.raises(Unavailable) as busy:
        house.deliver(notice)
    assert busy.value.after_s == 40
    house.world.clock.advance(MINUTE)
    house.deliver(notice)
    assert len(house.world.push.told) == 1


def test_a_failure_lets_the_next_attempt_begin_at_once(house: House) -> None:
    house.browser(house.ana)
    [notice] = house.notify(house.match())
    house.world.push.failures = [Unavailable("503"), OSError("no")]
    for _ in range(2):
        with pytest.raises((Unavailable, OSError)):
            house.deliver(notice)
    house.deliver(notice)
    assert len(house.world.push.told) == 1


def test_the_mark_of_what_was_sent_outlives_every_message(house: House) -> None:
    house.browser(house.ana)
    house.tell(house.match())
    [mark] = house.world.table.query(keys.user_pk(house.ana), prefix="SENT#").items
    assert mark["expires"] * 1000 >= NOON + 2 * 14 * DAY
    assert mark["outcome"] == "sent"
    assert "claim" not in mark


def test_the_origin_of_a_request_goes_into_no_link(house: House) -> None:
    house.world.settings = msgspec.structs.replace(
        house.world.settings, public_url="https://ours.example"
    )
    house.invite(house.ana, email="dora@example.org")
    house.tell(*house.invitations())
    told = house.world.email.told[0].content
    assert told.link.startswith("https://ours.example/")
    assert told.unsubscribe_url.startswith("https://ours.example/")
