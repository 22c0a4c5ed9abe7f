"""Being told while away: invitations, matches, preferences, and how to stop it."""

import json
import re
import signal
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from standardwebhooks import Webhook as Verifier

from tests.acceptance.scenarios import (
    ABSENT,
    TEXT,
    TIME,
    Host,
    Scenario,
    World,
    delete,
    did,
    get,
    like,
    none,
    patch,
    play,
    post,
    refused,
    room,
    status,
    user,
    vote,
)
from tests.receiver import FakeBrowser, Receiver, receiver, vapid_claims
from tests.server import Server, eventually, running
from tests.smtp import Arrived, SmtpServer, smtp_server
from trinity.common.rate_limits import PER_ACCOUNT

PREFERENCES = "/api/me/notifications"
SUBSCRIPTIONS = "/api/me/push-subscriptions"
WEBHOOKS = "/api/me/webhooks"
INVITE = "/api/rooms/{r1}/invitations"
QUIET = {
    "matchFound": {"email": False, "push": True, "webhook": True},
    "invited": {"email": True, "push": True, "webhook": True},
}
PUBLIC = "https://trinity.example"
HOOK = "https://hooks.example.org/trinity"
SUBSCRIPTION = {
    "endpoint": "https://push.example.org/abc",
    "expirationTime": None,
    "keys": {"p256dh": "B" + "x" * 86, "auth": "x" * 22},
}
TWO = room("r1", ["ana", "ben"], ["jaws", "heat"])


def changed(**kinds: dict[str, bool]) -> dict[str, Any]:
    return {kind: {**channels, **kinds.get(kind, {})} for kind, channels in QUIET.items()}


SCENARIOS = [
    # Preferences
    Scenario(
        "who has said nothing is mailed invitations alone",
        when=get(PREFERENCES, as_="ana"),
        then=status(200).json(QUIET),
    ),
    Scenario(
        "one channel for one kind is switched on, and all else stays",
        when=patch(PREFERENCES, as_="ana", json={"matchFound": {"email": True}}),
        then=status(200).json(changed(matchFound={"email": True})),
        after=[
            (get(PREFERENCES, as_="ana"), status(200).json(changed(matchFound={"email": True})))
        ],
    ),
    Scenario(
        "what is not named is not changed, and null is not a choice",
        given=[did(patch(PREFERENCES, as_="ana", json={"invited": {"email": False}}))],
        when=patch(PREFERENCES, as_="ana", json={"invited": {"email": None}, "matchFound": None}),
        then=status(200).json(changed(invited={"email": False})),
    ),
    Scenario(
        "a change of nothing is fine",
        when=patch(PREFERENCES, as_="ana", json={}),
        then=status(200).json(QUIET),
    ),
    Scenario(
        "a choice is true or false",
        when=patch(PREFERENCES, as_="ana", json={"invited": {"email": "no"}}),
        then=refused(422, "invalid_request").json(
            {"errors": [{"pointer": "/invited/email", "message": TEXT}]}
        ),
    ),
    Scenario(
        "the preferences of one are not those of another",
        given=[did(patch(PREFERENCES, as_="ana", json={"invited": {"push": False}}))],
        when=get(PREFERENCES, as_="ben"),
        then=status(200).json(QUIET),
    ),
    Scenario(
        "preferences are for those who are signed in",
        when=get(PREFERENCES),
        then=refused(401, "unauthenticated"),
    ),
    # Web Push
    Scenario(
        "the key for Web Push is for everybody",
        when=get("/api/push/public-key"),
        then=status(200).json({"publicKey": like(r"^B[\w-]{86}$")}),
    ),
    Scenario(
        "a browser is subscribed by what it gives",
        when=post(SUBSCRIPTIONS, as_="ana", json=SUBSCRIPTION),
        then=status(201).json({"id": TEXT, "createdAt": TIME}).without("push.example.org"),
    ),
    Scenario(
        "the same browser has the same name again",
        given=[did(post(SUBSCRIPTIONS, as_="ana", json=SUBSCRIPTION), keep="first")],
        when=post(SUBSCRIPTIONS, as_="ana", json=SUBSCRIPTION),
        then=status(201).json({"id": "{first.id}"}),
    ),
    Scenario(
        "a browser is forgotten once",
        given=[did(post(SUBSCRIPTIONS, as_="ana", json=SUBSCRIPTION), keep="mine")],
        when=delete(SUBSCRIPTIONS + "/{mine.id}", as_="ana"),
        then=status(204).empty(),
        after=[(delete(SUBSCRIPTIONS + "/{mine.id}", as_="ana"), refused(404, "not_found"))],
    ),
    Scenario(
        "nobody forgets the browser of another",
        given=[did(post(SUBSCRIPTIONS, as_="ana", json=SUBSCRIPTION), keep="mine")],
        when=delete(SUBSCRIPTIONS + "/{mine.id}", as_="ben"),
        then=refused(404, "not_found"),
        after=[(delete(SUBSCRIPTIONS + "/{mine.id}", as_="ana"), status(204))],
    ),
    *(
        Scenario(
            f"a browser with {what} is refused",
            when=post(SUBSCRIPTIONS, as_="ana", json={**SUBSCRIPTION, **wrong}),
            then=refused(422, "invalid_request").json({"errors": [{"pointer": pointer}]}),
        )
        for what, wrong, pointer in (
            ("no keys", {"keys": None}, "/keys"),
            ("half a key", {"keys": {"p256dh": "BBBB", "auth": "x" * 22}}, "/keys/p256dh"),
            ("a short secret", {"keys": {"p256dh": "B" + "x" * 86, "auth": "x"}}, "/keys/auth"),
            ("an endpoint of this machine", {"endpoint": "https://127.0.0.1/push"}, "/endpoint"),
            ("an endpoint without TLS", {"endpoint": "http://push.example.org/"}, "/endpoint"),
        )
    ),
    # Webhooks
    Scenario(
        "a webhook comes with a secret",
        when=post(WEBHOOKS, as_="ana", json={"url": HOOK}),
        then=status(201).json(
            {
                "id": TEXT,
                "url": HOOK,
                "createdAt": TIME,
                "disabled": False,
                "secret": like(r"^whsec_[A-Za-z0-9+/]{32,}=*$"),
            }
        ),
    ),
    Scenario(
        "the secret of a webhook is told once",
        given=[did(post(WEBHOOKS, as_="ana", json={"url": HOOK}), keep="hook")],
        when=get(WEBHOOKS, as_="ana"),
        then=status(200)
        .json({"items": [{"id": "{hook.id}", "url": HOOK, "secret": ABSENT}], "cursor": None})
        .without("{hook.secret}", "whsec_"),
    ),
    Scenario(
        "whoever has no webhooks has an empty list",
        when=get(WEBHOOKS, as_="ana"),
        then=status(200).json({"items": [], "cursor": None}),
    ),
    Scenario(
        "a webhook is removed once",
        given=[did(post(WEBHOOKS, as_="ana", json={"url": HOOK}), keep="hook")],
        when=delete(WEBHOOKS + "/{hook.id}", as_="ana"),
        then=status(204).empty(),
        after=[
            (get(WEBHOOKS, as_="ana"), status(200).json({"items": []})),
            (delete(WEBHOOKS + "/{hook.id}", as_="ana"), refused(404, "not_found")),
        ],
    ),
    Scenario(
        "nobody sees or removes the webhook of another",
        given=[did(post(WEBHOOKS, as_="ana", json={"url": HOOK}), keep="hook")],
        when=delete(WEBHOOKS + "/{hook.id}", as_="ben"),
        then=refused(404, "not_found"),
        after=[(get(WEBHOOKS, as_="ben"), status(200).json({"items": []}))],
    ),
    Scenario(
        "there are five webhooks at the most",
        given=[did(post(WEBHOOKS, as_="ana", json={"url": f"{HOOK}/{n}"})) for n in range(5)],
        when=post(WEBHOOKS, as_="ana", json={"url": HOOK}),
        then=refused(422, "invalid_request").contains("five"),
    ),
    *(
        Scenario(
            f"a webhook at {url[:50]} is refused",
            when=post(WEBHOOKS, as_="ana", json={"url": url}),
            then=refused(422, "invalid_request").json({"errors": [{"pointer": "/url"}]}),
        )
        for url in (
            "hooks.example.org",
            "ftp://hooks.example.org",
            "http://hooks.example.org",
            "https://localhost/hook",
            "https://10.0.0.1/hook",
            "https://169.254.169.254/latest/meta-data",
            "https://[::ffff:127.0.0.1]/hook",
            "https://me:secret@hooks.example.org",
            "https://x.org/" + "x" * 2100,
        )
    ),
    # Invitations
    Scenario(
        "an invitation is taken, and nobody in the room hears of it",
        given=[TWO],
        when=post(INVITE, as_="ben", json={"email": "dora@example.org"}),
        then=status(202).empty().events(none),
    ),
    Scenario(
        "an account that exists looks like one that does not",
        given=[TWO, user("cleo")],
        when=post(INVITE, as_="ana", json={"email": "{cleo.email}"}),
        then=status(202).empty(),
        after=[
            (post(INVITE, as_="ana", json={"email": "nobody@example.org"}), status(202).empty()),
            (post(INVITE, as_="ana", json={"userId": "{cleo}"}), status(202).empty()),
            (post(INVITE, as_="ana", json={"userId": "nobody"}), status(202).empty()),
            (post(INVITE, as_="ana", json={"userId": "{ben}"}), status(202).empty()),
        ],
    ),
    Scenario(
        "only members invite",
        given=[TWO],
        when=post(INVITE, as_="eve", json={"email": "dora@example.org"}),
        then=refused(403, "not_a_member"),
    ),
    Scenario(
        "nobody is invited to a room that is closed",
        given=[TWO, did(patch("/api/rooms/{r1}", as_="ana", json={"state": "closed"}))],
        when=post(INVITE, as_="ana", json={"email": "dora@example.org"}),
        then=refused(409, "room_closed"),
    ),
    Scenario(
        "nobody is invited to a room that is not there",
        when=post("/api/rooms/none/invitations", as_="ana", json={"email": "dora@example.org"}),
        then=refused(404, "room_not_found"),
    ),
    *(
        Scenario(
            f"an invitation of {what} is refused",
            given=[TWO],
            when=post(INVITE, as_="ana", json=whom),
            then=refused(422, "invalid_request"),
        )
        for what, whom in (
            ("nobody", {}),
            ("two at once", {"email": "dora@example.org", "userId": "x"}),
            ("no address", {"email": "dora"}),
            ("an address with a header", {"email": "dora@example.org\r\nBcc: x@example.org"}),
        )
    ),
    # Unsubscribing
    Scenario(
        "a link that is none of ours says so",
        when=get("/api/unsubscribe/bm90IG91cnM"),
        then=refused(401, "invalid_token").contains("link"),
        after=[(post("/api/unsubscribe/bm90IG91cnM"), refused(401, "invalid_token"))],
    ),
]


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.on_aws
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("token", "code", "error"),
    [("bm90IG91cnM", 401, "invalid_token"), ("x" * 1025, 422, "invalid_request")],
    ids=["none of ours", "endless"],
)
def test_people_with_a_broken_link_are_told_what_to_do(
    method: str, token: str, code: int, error: str, host: Host
) -> None:
    path = f"/api/unsubscribe/{token}"
    page = host.client.request(method, path, headers={"accept": BROWSER})
    assert (page.status, page.headers["content-type"]) == (code, "text/html; charset=utf-8")
    assert "<h1>This link does not work</h1>" in page.text
    assert "the link in our newest mail to you: that one works" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-request-id"]
    for accept in ("application/json", "*/*", "application/json, text/html;q=0.9"):
        problem = host.client.request(method, path, headers={"accept": accept})
        assert (problem.status, problem.code) == (code, error)
    document = host.document.violations(method, path, page)
    assert [one for one in document if "not documented" in one] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


# ------------------------------------------------- with a mail server and receivers, embedded only


class Town(NamedTuple):
    """A server with a mail server, a push service and a program beside it."""

    server: Server
    mail: SmtpServer
    push: Receiver
    hooks: Receiver

    def world(self) -> World:
        return Host(self.server.base_url).world()

    def settled(self) -> None:
        """Wait until all that has happened has had its consequences.

        Somebody is invited: when that mail is out, all that happened before is in the queues.
        """
        world, address = self.world(), f"{uuid.uuid4().hex}@example.org"
        made = world.room("r1", ["ana"], ["jaws"], {})
        path = f"/api/rooms/{made['id']}/invitations"
        assert world.send(post(path, as_="ana", json={"email": address})).status == 202
        some(lambda: mails_to(self, address), "the mail comes")
        eventually(lambda: waiting(self.server) == 0, "the queues are empty")


def waiting(server: Server) -> int:
    """Return how many messages are in the queues of notices."""
    with closing(sqlite3.connect(server.data / "trinity.sqlite")) as file:
        sql = "SELECT count(*) FROM messages WHERE queue = 'notify' OR queue LIKE 'deliver-%'"
        return int(file.execute(sql).fetchone()[0])


SETTINGS = {"RATE_LIMITS": "off", "LOCAL_ENDPOINTS": "on", "PUBLIC_URL": PUBLIC}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with smtp_server() as mail, receiver() as push, receiver() as hooks:
        url = f"smtp+plain://127.0.0.1:{mail.port}"
        with running(tmp_path_factory.mktemp("town"), SMTP_URL=url, **SETTINGS) as server:
            yield Town(server, mail, push, hooks)


def mails_to(town: Town, address: str) -> list[Arrived]:
    return [mail for mail in list(town.mail.arrived) if mail.recipients == [address]]


def some(look: Callable[[], list[Any]], what: str) -> list[Any]:
    """Wait until a list has something in it."""
    return eventually(lambda: look() or None, what)


def subscribed(town: Town, world: World, who: str) -> FakeBrowser:
    """Let a browser of somebody show notices."""
    browser = FakeBrowser(f"{town.push.url}/{uuid.uuid4().hex}")
    answer = world.send(post(SUBSCRIPTIONS, as_=who, json=browser.subscription))
    assert answer.status == 201, answer
    return browser


def shown(town: Town, browser: FakeBrowser) -> list[Any]:
    """Return what a browser has been sent, decrypted."""
    path = browser.endpoint.removeprefix(town.push.url)
    return [browser.read(r) for r in list(town.push.requests) if r.path == path]


class Hooked(NamedTuple):
    path: str
    secret: str

    def payloads(self, town: Town) -> list[Any]:
        """Return what came, verified with the reference library."""
        requests = [r for r in list(town.hooks.requests) if r.path == self.path]
        return [Verifier(self.secret).verify(r.body, r.headers) for r in requests]


def hooked(town: Town, world: World, who: str) -> Hooked:
    """Let a program of somebody hear of things."""
    path = f"/{uuid.uuid4().hex}"
    made = world.send(post(WEBHOOKS, as_=who, json={"url": town.hooks.url + path}))
    assert made.status == 201, made
    return Hooked(path, made.json["secret"])


def agree(world: World, title: str = "jaws", by: tuple[str, ...] = ("ana", "ben")) -> None:
    for who in by:
        assert world.send(vote("r1", who, title, "yes")).status == 200


def test_a_match_reaches_those_who_are_away_and_not_those_who_look(town: Town) -> None:
    world = town.world()
    made = world.room("r1", ["ana", "ben"], ["jaws", "heat"], {"name": "Friday", "secret": True})
    away, looking = subscribed(town, world, "ana"), subscribed(town, world, "ben")
    hook = hooked(town, world, "ana")
    assert world.send(get("/api/rooms/{r1}/events", as_="ben")).status == 200
    agree(world)
    [push] = some(lambda: shown(town, away), "the browser is told")
    assert push["title"] == "It’s a match: jaws"
    assert "Friday" in push["body"]
    assert push["url"] == f"{PUBLIC}/r/{made['code']}"
    [payload] = some(lambda: hook.payloads(town), "the program is told")
    assert payload["type"] == "matchFound"
    assert payload["data"] == {
        "roomId": made["id"],
        "roomName": "Friday",
        "titleId": made["jaws"],
        "title": "jaws",
        "rule": "unanimous",
        "url": f"{PUBLIC}/r/{made['code']}",
    }
    for person in world.people.values():
        assert person.id not in json.dumps([push, payload])
    key = world.send(get("/api/push/public-key")).json["publicKey"]
    claims = vapid_claims(town.push.requests[-1], key)
    assert claims["aud"] == town.push.url
    assert claims["sub"] == "mailto:trinity@trinity.example"
    assert shown(town, looking) == []


def test_a_browser_that_is_gone_is_not_asked_again(town: Town) -> None:
    world = town.world()
    world.room("r1", ["ana", "ben"], ["jaws", "heat"], {"stopAt": "never"})
    gone, there = subscribed(town, world, "ana"), hooked(town, world, "ana")
    path = gone.endpoint.removeprefix(town.push.url)
    town.push.at[path] = [410]
    agree(world, "jaws")
    some(lambda: [r for r in town.push.requests if r.path == path], "it was asked")
    eventually(lambda: len(there.payloads(town)) == 1, "the first match is told")
    agree(world, "heat")
    eventually(lambda: len(there.payloads(town)) == 2, "the second match is told")
    assert len([r for r in town.push.requests if r.path == path]) == 1


def test_whoever_signs_out_is_told_nothing_in_that_browser(town: Town) -> None:
    world = town.world()
    world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
    browser, hook = subscribed(town, world, "ana"), hooked(town, world, "ana")
    refresh = world.person("ana").refresh
    assert world.send(post("/api/auth/logout", json={"refreshToken": refresh})).status == 204
    agree(world)
    some(lambda: hook.payloads(town), "the program is told")
    town.settled()
    assert shown(town, browser) == []


def test_an_invitation_by_mail_leads_into_the_room_and_can_be_stopped_with_a_click(
    town: Town,
) -> None:
    world = town.world()
    dora = f"dora.{uuid.uuid4().hex}@example.org"
    made = world.room("r1", ["ana", "ben"], ["jaws"], {"name": "Film & <b>wine</b>"})
    for _ in range(3):
        assert world.send(post(INVITE, as_="ana", json={"email": dora})).status == 202
    assert world.send(post(INVITE, as_="ben", json={"email": dora.upper()})).status == 202
    [mail] = some(lambda: mails_to(town, dora), "the mail comes")
    message = mail.message
    assert message["Subject"] == "ana invites you to “Film & <b>wine</b>”"
    assert message["From"] == "Trinity <trinity@trinity.example>"
    text, html = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    link = f"{PUBLIC}/r/{made['code']}"
    assert link in text
    assert f'href="{link}"' in html
    assert "<b>wine</b>" not in html
    # With one click, as mail programs do it (RFC 8058), and as people do it.
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    stop = re.fullmatch(r"<https://trinity\.example(/\S+)>", message["List-Unsubscribe"])
    assert stop is not None
    assert stop[1] in text
    page = world.send(get(stop[1]))
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "no-referrer"
    assert '<form method="post">' in page.text
    assert dora not in page.text
    for body in (b"List-Unsubscribe=One-Click", b""):
        kind = {"content-type": "application/x-www-form-urlencoded"}
        done = world.client.post(stop[1], body=body, headers=kind)
        assert (done.status, "no more mails" in done.text) == (200, True)
    # Another room, another host: nothing comes any more; somebody else still hears of it.
    other = world.room("r2", ["eve"], ["jaws"], {})
    emil = f"emil.{uuid.uuid4().hex}@example.org"
    for address in (dora, emil):
        path = f"/api/rooms/{other['id']}/invitations"
        assert world.send(post(path, as_="eve", json={"email": address})).status == 202
    some(lambda: mails_to(town, emil), "the other mail comes")
    town.settled()
    assert len(mails_to(town, dora)) == 1


def test_a_user_who_is_invited_is_told_as_he_likes_and_can_stop_mails(town: Town) -> None:
    world = town.world()
    cleo = world.user("cleo")
    browser = subscribed(town, world, "cleo")
    world.room("r1", ["ana"], ["jaws"], {"name": "Friday"})
    assert world.send(post(INVITE, as_="ana", json={"email": cleo.email})).status == 202
    [mail] = some(lambda: mails_to(town, str(cleo.email)), "the mail comes")
    [push] = some(lambda: shown(town, browser), "the browser is told")
    assert push["title"] == mail.message["Subject"] == "ana invites you to “Friday”"
    stop = mail.message["List-Unsubscribe"].strip("<>").removeprefix(PUBLIC)
    assert world.client.post(stop).status == 200
    now = world.send(get(PREFERENCES, as_="cleo")).json
    assert now == changed(invited={"email": False})


def test_whoever_asks_for_mails_about_matches_gets_one_an_hour_of_a_room(town: Town) -> None:
    world = town.world()
    ana = world.user("ana")
    hook = hooked(town, world, "ana")
    wish = patch(PREFERENCES, as_="ana", json={"matchFound": {"email": True}})
    assert world.send(wish).status == 200
    world.room("r1", ["ana", "ben"], ["jaws", "heat", "alien"], {"stopAt": "never"})
    for title in ("jaws", "heat", "alien"):
        agree(world, title)
    eventually(lambda: len(hook.payloads(town)) == 3, "the program is told of all")
    some(lambda: mails_to(town, str(ana.email)), "a mail comes")
    town.settled()
    assert len(mails_to(town, str(ana.email))) == 1


def test_a_receiver_that_fails_holds_up_no_other_and_gets_it_later_with_the_same_id(
    town: Town,
) -> None:
    world = town.world()
    world.room("r1", ["ana", "ben"], ["jaws", "heat"], {})
    flaky, fine = hooked(town, world, "ana"), hooked(town, world, "ana")
    town.hooks.at[flaky.path] = [503, 500]
    agree(world)
    some(lambda: fine.payloads(town), "the other one is told")
    eventually(lambda: len(flaky.payloads(town)) == 3, "the third attempt comes", within_s=60)
    ids = {r.headers["webhook-id"] for r in town.hooks.requests if r.path == flaky.path}
    assert len(ids) == 1
    assert len(fine.payloads(town)) == 1
    times = [
        int(r.headers["webhook-timestamp"]) for r in town.hooks.requests if r.path == flaky.path
    ]
    assert times == sorted(times)


def test_a_server_that_is_killed_again_and_again_tells_everybody_once(tmp_path: Path) -> None:
    """Nothing is lost; a notice comes a second time only with the id of the first."""
    with smtp_server() as mail, receiver() as hooks:
        server = Server(tmp_path, {"SMTP_URL": f"smtp+plain://127.0.0.1:{mail.port}", **SETTINGS})
        server.start()
        town = Town(server, mail, hooks, hooks)
        world = town.world()
        titles = [f"t{n}" for n in range(8)]
        world.room("r1", ["ana", "ben"], titles, {"stopAt": "never"})
        hook = hooked(town, world, "ana")
        tokens = {name: person.token for name, person in world.people.items()}
        for title in titles:
            agree(world, title)
            invitation = {"email": f"{title}@example.org"}
            assert world.send(post(INVITE, as_="ana", json=invitation)).status == 202
            # Killed while it is at work: whatever it had taken comes again when it is back.
            server.stop(signal.SIGKILL)
            server.start()
            host = Host(server.base_url)
            kept, people = world.kept, world.people
            world = host.world()
            world.kept, world.people = kept, people
        assert {name: person.token for name, person in world.people.items()} == tokens

        def told() -> bool:
            by_title = {payload["data"]["title"] for payload in hook.payloads(town)}
            return by_title == set(titles) and len(mail.arrived) >= len(titles)

        # What was claimed by a process that died is free again after a minute.
        eventually(told, "everybody is told of everything", within_s=100)
        eventually(lambda: waiting(server) == 0, "the queues are empty", within_s=100)
        ids = {}
        for request in hooks.requests:
            title = json.loads(request.body)["data"]["title"]
            ids.setdefault(title, set()).add(request.headers["webhook-id"])
        assert {title: len(one) for title, one in ids.items()} == dict.fromkeys(titles, 1)
        messages = [arrived.message for arrived in mail.arrived]
        assert {m["To"] for m in messages} == {f"{title}@example.org" for title in titles}
        assert len({m["Message-ID"] for m in messages}) == len(titles)
        server.stop()


def test_nothing_of_it_is_in_the_log_and_nothing_of_who_is_gone_in_the_data(tmp_path: Path) -> None:
    with smtp_server() as mail, receiver() as push, receiver() as hooks:
        server = Server(tmp_path, {"SMTP_URL": f"smtp+plain://127.0.0.1:{mail.port}", **SETTINGS})
        server.start()
        town = Town(server, mail, push, hooks)
        world = town.world()
        cleo = world.user("cleo")
        world.room("r1", ["ana", "cleo"], ["jaws", "heat"], {"stopAt": "never"})
        world.room("r2", ["eve"], ["jaws"], {})
        browser, hook = subscribed(town, world, "cleo"), hooked(town, world, "cleo")
        wish = patch(PREFERENCES, as_="cleo", json={"matchFound": {"email": True}})
        assert world.send(wish).status == 200
        mail.answers = [("RCPT", 550)]
        town.push.at[browser.endpoint.removeprefix(push.url)] = [503]
        town.hooks.at[hook.path] = [500]
        agree(world, "jaws", by=("ana", "cleo"))
        eventually(lambda: not mail.answers, "the mail is refused")
        invite = "/api/rooms/{r2}/invitations"
        assert world.send(post(invite, as_="eve", json={"email": cleo.email})).status == 202
        stranger = f"dora.{uuid.uuid4().hex}@example.org"
        assert world.send(post(invite, as_="eve", json={"email": stranger})).status == 202
        some(lambda: mails_to(town, stranger), "the stranger is invited")
        some(lambda: mails_to(town, str(cleo.email)), "cleo is invited")
        # The match, once more after the failure, and the invitation.
        eventually(lambda: len(hook.payloads(town)) == 3, "the program took it", within_s=60)
        eventually(lambda: len(shown(town, browser)) == 3, "the browser took it", within_s=60)
        eventually(lambda: waiting(server) == 0, "the queues are empty")
        stop = mails_to(town, stranger)[0].message["List-Unsubscribe"].strip("<>")
        assert world.client.post(stop.removeprefix(PUBLIC)).status == 200
        assert world.send(delete("/api/me", as_="cleo")).status == 204
        server.stop()
        with closing(sqlite3.connect(server.data / "trinity.sqlite")) as file:
            items = file.execute("SELECT pk, sk, item FROM items").fetchall()
        stored = repr(items)
        assert stranger not in stored
        ours = ("INVITE#", "NOTICE#", "SENT#", "MAILED#", "MUTED")
        about = [item for item in items if item[1].startswith(ours)]
        assert about  # the stranger's
        assert [item for item in about if cleo.id in repr(item)] == []
        assert [item for item in items if item[0] == f"USER#{cleo.id}"] == []
        secrets = [stranger, str(cleo.email), hook.path, hook.secret, browser.endpoint]
        secrets += [stop.rpartition("/")[2], browser.subscription["keys"]["auth"], "jaws"]
        assert '"operation":"deliver_webhook"' in server.log
        for secret in secrets:
            assert secret not in server.log, secret


def test_invitations_are_limited_by_who_invites_and_who_is_invited(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        world = Host(server.base_url).world()
        world.room("r1", ["ana", "ben"], ["jaws"], {})
        for number in range(PER_ACCOUNT["invited"].most):
            who = ("ana", "ben")[number % 2]
            answer = world.send(post(INVITE, as_=who, json={"email": "dora@example.org"}))
            assert answer.status == 202
        answer = world.send(post(INVITE, as_="ana", json={"email": "dora@example.org"}))
        assert (answer.status, answer.code) == (429, "rate_limited")
        sent = PER_ACCOUNT["invited"].most // 2 + 2  # of ana so far
        for number in range(PER_ACCOUNT["invite"].most - sent):
            json_ = {"email": f"{number}@example.org"}
            assert world.send(post(INVITE, as_="ana", json=json_)).status == 202
        answer = world.send(post(INVITE, as_="ana", json={"email": "one.more@example.org"}))
        assert (answer.status, answer.code) == (429, "rate_limited")


def test_without_a_mail_server_mails_are_files(tmp_path: Path) -> None:
    with running(tmp_path, RATE_LIMITS="off") as server:
        world = Host(server.base_url).world()
        world.room("r1", ["ana", "ben"], ["jaws"], {})
        assert world.send(post(INVITE, as_="ana", json={"email": "dora@example.org"})).status == 202
        folder = server.data / "mailbox"
        path = eventually(lambda: next(folder.glob("*.eml"), None), "the mail is a file")
        content = path.read_text()
        assert "To: dora@example.org" in content
        assert (
            f"List-Unsubscribe: <http://localhost:{server.base_url.rpartition(':')[2]}" in content
        )
        assert "List-Unsubscribe-Post" not in content
