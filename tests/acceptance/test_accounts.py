"""Coming in, staying in, going out: accounts, guests, sessions, passwords."""

import email
import email.policy
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.scenarios import (
    ABSENT,
    PASSWORD,
    TEXT,
    TIME,
    Expected,
    Host,
    Pattern,
    Scenario,
    World,
    delete,
    did,
    get,
    guest,
    none,
    patch,
    play,
    post,
    refused,
    room,
    status,
    told,
    user,
    vote,
    votes,
)
from tests.server import Client, Server, eventually, running

FRESH = f"fresh.{uuid.uuid4().hex}@example.org"
OTHER = f"other.{uuid.uuid4().hex}@example.org"
SECRETS = (PASSWORD, "argon2", "passwordHash", "password_hash")

NOT_EMAILS = (
    "",
    "   ",
    "ana",
    "ana@",
    "@example.org",
    "ana@example",
    "ana@.org",
    "ana@example.",
    "ana@example..org",
    "ana..b@example.org",
    "ana b@example.org",
    "ana@exa mple.org",
    "ana@@example.org",
    "ana@b@example.org",
    "ana@example.org\nBcc: eve@example.org",
    "ana@example.org\x00",
    "Ana <ana@example.org>",
    "ana,eve@example.org",
    "ana;eve@example.org",
    '"ana"@example.org',
    "ana@-example.org",
    "\u202eana@example.org",
    "ana\u200b@example.org",
    "a" * 250 + "@example.org",
)
NOT_NAMES = (
    "",
    "   ",
    "\u3000",
    "\x00",
    "a\x00b",
    "\u202egnp.ana",
    "ana\u2066b",
    "a\u200bna",
    "\ufeffana",
    "\u200d",
    "\u200c\u200d",
    "\u2028",
    "\u0301",
    "a" + "\u0301" * 20,
    "\ue000",
    "\u115f",
    "\u1160",
    "\u3164",
    "\uffa0",
    "\u2800",
    "a" * 41,
)
NAMES = (
    "Ana",
    "ana maría",
    "Þórdís",
    "Nguyễn Thị Ánh",
    "李小龙",
    "さくら",
    "김민준",
    "Ольга",
    "محمد",
    "नरेन्द्र",
    "ประเสริฐ",
    "O’Neill-Smith",
    "Ａｎａ",
    "42",
    "🦊",
    "👩‍👩‍👧‍👦",
    "👩🏽‍🚀",
    "❤️‍🔥",
    "🏳️‍🌈",
    "🇪🇸",
    "1️⃣",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "a" * 40,
)


def session(name: str = "ana", *, is_guest: bool) -> Expected:
    mail: Pattern = ABSENT if is_guest else TEXT
    return (
        Expected(200)
        .json(
            {
                "user": {
                    "id": TEXT,
                    "name": name,
                    "guest": is_guest,
                    "email": mail,
                    "createdAt": TIME,
                },
                "accessToken": TEXT,
                "refreshToken": TEXT,
                "tokenType": "Bearer",
                "expiresIn": 900,
            }
        )
        .without(*SECRETS)
    )


def created(expected: Expected) -> Expected:
    return Expected(201, content=expected.content, forbidden=expected.forbidden)


def registration(address: str, **more: str) -> dict[str, str]:
    return {"email": address, "password": PASSWORD, "name": "ana", **more}


def login(address: str, password: str = PASSWORD):
    return post("/api/auth/login", json={"email": address, "password": password})


def refresh(token: str):
    return post("/api/auth/refresh", json={"refreshToken": token})


_REGISTER = "/api/auth/register"
_ME = "/api/me"

SCENARIOS = [
    # Guests
    Scenario(
        "a name is enough for a guest",
        when=post("/api/auth/guest", json={"name": "ana"}),
        then=created(session(is_guest=True)).header("cache-control", "no-store"),
        after=[
            (
                get(_ME, headers={"authorization": "Bearer {when.accessToken}"}),
                status(200).json({"id": "{when.user.id}", "name": "ana", "guest": True}),
            )
        ],
    ),
    Scenario(
        "blanks around and within a name are put in order",
        when=post("/api/auth/guest", json={"name": "  Ana \t\n María "}),
        then=status(201).json({"user": {"name": "Ana María"}}),
    ),
    Scenario(
        "a name is kept in its normal form",
        when=post("/api/auth/guest", json={"name": "A\u0301na"}),
        then=status(201).json({"user": {"name": "Ána"}}),
    ),
    Scenario(
        "the name of a guest is not read from the query",
        when=post("/api/auth/guest?name=ana"),
        then=refused(422, "invalid_request"),
    ),
    *(
        Scenario(
            f"people may be called {name.encode('unicode_escape').decode()[:60]}",
            when=post("/api/auth/guest", json={"name": name}),
            then=status(201).json({"user": {"name": name}}),
        )
        for name in NAMES
    ),
    *(
        Scenario(
            f"nobody may be called {name.encode('unicode_escape').decode()[:60]!r}",
            when=post("/api/auth/guest", json={"name": name}),
            then=refused(422, "invalid_request").json({"errors": [{"pointer": "/name"}]}),
        )
        for name in NOT_NAMES
    ),
    # Registering
    Scenario(
        "an account is opened with address, password and name",
        when=post(_REGISTER, json=registration(FRESH)),
        then=created(session(is_guest=False)).header("cache-control", "no-store"),
    ),
    Scenario(
        "an address is one account, whatever the letter case",
        given=[user("ana")],
        when=post(_REGISTER, json=registration("{ana.email}")),
        then=refused(409, "email_taken").without(*SECRETS),
    ),
    Scenario(
        "blanks around an address do not make another account of it",
        given=[user("ana")],
        when=post(_REGISTER, json=registration("  {ana.email}  ")),
        then=refused(409, "email_taken"),
    ),
    Scenario(
        "a guest who registers stays the same person, with rooms and votes",
        given=[
            room("r1", ["ben", "ana"]),
            room("r2", ["ana"]),
            votes("r1", ana={"jaws": "yes", "heat": "no"}),
        ],
        when=post(_REGISTER, as_="ana", json=registration(OTHER, name="Ana María")),
        then=created(session("Ana María", is_guest=False)).json({"user": {"id": "{ana}"}}),
        after=[
            (
                get("/api/rooms", headers={"authorization": "Bearer {when.accessToken}"}),
                status(200).json({"items": [{"id": "{r2}", "role": "host"}, {"id": "{r1}"}]}),
            ),
            (
                get("/api/rooms/{r1}", as_="ben"),
                status(200).json({"members": [{}, {"name": "Ana María", "progress": 2}]}),
            ),
            (vote("r1", "ben", "jaws", "yes"), status(200).json({"matches": [{}]})),
            (login(OTHER), session("Ana María", is_guest=False)),
        ],
    ),
    Scenario(
        "a name that changes by registering shows in the room",
        given=[room("r1", ["ben", "ana"])],
        when=post(
            _REGISTER,
            as_="ana",
            json=registration(f"{uuid.uuid4().hex}@example.org", name="Ana María"),
        ),
        then=status(201).events(
            {"type": "memberUpdated", "data": {"userId": "{ana}", "name": "Ana María"}}
        ),
    ),
    Scenario(
        "nobody registers twice",
        given=[user("ana")],
        when=post(_REGISTER, as_="ana", json=registration(f"{uuid.uuid4().hex}@example.org")),
        then=refused(409, "already_registered"),
    ),
    Scenario(
        "registering with a token that is not valid makes no second account in silence",
        when=post(
            _REGISTER,
            json=registration(f"{uuid.uuid4().hex}@example.org"),
            headers={"authorization": "Bearer not.a.token"},
        ),
        then=refused(401, "unauthenticated"),
    ),
    Scenario(
        "a guest cannot register with an address that is taken, and stays a guest",
        given=[user("ben"), guest("ana")],
        when=post(_REGISTER, as_="ana", json=registration("{ben.email}")),
        then=refused(409, "email_taken"),
        after=[(get(_ME, as_="ana"), status(200).json({"guest": True, "email": ABSENT}))],
    ),
    Scenario(
        "a password of seven characters is too short",
        when=post(_REGISTER, json=registration("short@example.org", password="1234567")),
        then=refused(422, "invalid_request")
        .json({"errors": [{"pointer": "/password"}]})
        .without("1234567"),
    ),
    Scenario(
        "a password of 257 characters is too long",
        when=post(_REGISTER, json=registration("long@example.org", password="x" * 257)),
        then=refused(422, "invalid_request").without("xxxxxxxx"),
    ),
    Scenario(
        "an account cannot be opened by the query, where logs would keep the password",
        when=post(f"{_REGISTER}?email={uuid.uuid4().hex}@example.org&password=12345678&name=ana"),
        then=refused(422, "invalid_request"),
    ),
    *(
        Scenario(
            f"{address.encode('unicode_escape').decode()[:40]!r} is not an address",
            when=post(_REGISTER, json=registration(address)),
            then=refused(422, "invalid_request").json({"errors": [{"pointer": "/email"}]}),
        )
        for address in NOT_EMAILS
    ),
    # Logging in
    Scenario(
        "the right password lets one in",
        given=[user("ana")],
        when=login("{ana.email}"),
        then=session(is_guest=False).json({"user": {"id": "{ana}"}}),
    ),
    Scenario(
        "a wrong password does not",
        given=[user("ana")],
        when=login("{ana.email}", "wrong horse battery"),
        then=refused(401, "invalid_credentials").without("{ana}", "wrong horse", *SECRETS),
    ),
    Scenario(
        "a password is told apart by letter case",
        given=[user("ana")],
        when=login("{ana.email}", PASSWORD.upper()),
        then=refused(401, "invalid_credentials"),
    ),
    Scenario(
        "an address that is none is refused like a wrong password",
        when=login("nobody"),
        then=refused(401, "invalid_credentials"),
    ),
    Scenario(
        "nobody logs in by the query",
        given=[user("ana")],
        when=post("/api/auth/login?email={ana.email}&password=correct+horse+battery"),
        then=refused(422, "invalid_request"),
    ),
    # Sessions
    Scenario(
        "a refresh token gives a new pair",
        given=[guest("ana")],
        when=refresh("{ana.refresh}"),
        then=session(is_guest=True).without("{ana.refresh}"),
        after=[
            (
                get(_ME, headers={"authorization": "Bearer {when.accessToken}"}),
                status(200).json({"id": "{ana}"}),
            ),
            (refresh("{when.refreshToken}"), status(200)),
        ],
    ),
    Scenario(
        "a refresh token that comes back ends the session, for the thief and the owner",
        given=[guest("ana"), did(refresh("{ana.refresh}"), keep="next")],
        when=refresh("{ana.refresh}"),
        then=refused(401, "token_reused").without("{next.refreshToken}"),
        after=[
            (refresh("{next.refreshToken}"), refused(401, "invalid_token")),
            (refresh("{ana.refresh}"), refused(401, "invalid_token")),
        ],
    ),
    Scenario(
        "a session that ends leaves the other sessions alone",
        given=[
            user("ana"),
            did(login("{ana.email}"), keep="phone"),
            did(refresh("{ana.refresh}")),
            told(refresh("{ana.refresh}"), refused(401, "token_reused")),
        ],
        when=refresh("{phone.refreshToken}"),
        then=status(200),
    ),
    Scenario(
        "after logging out the refresh token is worth nothing",
        given=[guest("ana"), did(post("/api/auth/logout", json={"refreshToken": "{ana.refresh}"}))],
        when=refresh("{ana.refresh}"),
        then=refused(401, "invalid_token"),
    ),
    Scenario(
        "logging out twice is fine",
        given=[guest("ana"), did(post("/api/auth/logout", json={"refreshToken": "{ana.refresh}"}))],
        when=post("/api/auth/logout", json={"refreshToken": "{ana.refresh}"}),
        then=status(204).empty(),
    ),
    Scenario(
        "logging out with something that never was a token is fine",
        when=post("/api/auth/logout", json={"refreshToken": "a.b.c"}),
        then=status(204).empty(),
    ),
    Scenario(
        "logging out one session leaves the other alone",
        given=[
            user("ana"),
            did(login("{ana.email}"), keep="phone"),
            did(post("/api/auth/logout", json={"refreshToken": "{ana.refresh}"})),
        ],
        when=refresh("{phone.refreshToken}"),
        then=status(200),
    ),
    *(
        Scenario(
            f"{token!r} is no refresh token",
            given=[guest("ana")],
            when=refresh(token),
            then=refused(401, "invalid_token"),
        )
        for token in ("", ".", "..", "a.b.c", "{ana}.x.y", "ü.ü.ü")
    ),
    # Me
    Scenario(
        "I see my profile and nothing that is secret",
        given=[user("ana")],
        when=get(_ME, as_="ana"),
        then=status(200)
        .json({"id": "{ana}", "name": "ana", "guest": False, "email": "{ana.email}"})
        .without(*SECRETS)
        .header("cache-control", "no-store"),
    ),
    Scenario(
        "a guest has no address",
        when=get(_ME, as_="ana"),
        then=status(200).json({"guest": True, "email": ABSENT}),
    ),
    Scenario(
        "a new name shows in the profile and in every room",
        given=[room("r1", ["ana", "ben"]), room("r2", ["ben", "ana"])],
        when=patch(_ME, as_="ana", json={"name": "  Ana   María "}),
        then=status(200)
        .json({"name": "Ana María"})
        .events({"type": "memberUpdated", "data": {"userId": "{ana}", "name": "Ana María"}}),
        after=[
            (
                get("/api/rooms/{r2}", as_="ben"),
                status(200).json({"members": [{}, {"name": "Ana María"}]}),
            )
        ],
    ),
    Scenario(
        "changing nothing changes nothing",
        given=[room("r1", ["ana", "ben"])],
        when=patch(_ME, as_="ana", json={}),
        then=status(200).json({"name": "ana"}).events(none),
    ),
    Scenario(
        "a name that cannot be is refused, and the old one stays",
        when=patch(_ME, as_="ana", json={"name": "\u202e"}),
        then=refused(422, "invalid_request"),
        after=[(get(_ME, as_="ana"), status(200).json({"name": "ana"}))],
    ),
    Scenario(
        "a new password needs the current one",
        given=[user("ana")],
        when=patch(_ME, as_="ana", json={"password": "another long one"}),
        then=refused(401, "invalid_credentials"),
        after=[(login("{ana.email}"), status(200))],
    ),
    Scenario(
        "a new password with a wrong current one is refused",
        given=[user("ana")],
        when=patch(
            _ME, as_="ana", json={"password": "another long one", "currentPassword": "wrong"}
        ),
        then=refused(401, "invalid_credentials"),
        after=[(login("{ana.email}"), status(200))],
    ),
    Scenario(
        "a new password ends all other sessions and keeps this one",
        given=[user("ana"), did(login("{ana.email}"), keep="phone")],
        when=patch(
            _ME, as_="ana", json={"password": "another long one", "currentPassword": PASSWORD}
        ),
        then=status(200).without("another long one"),
        after=[
            (refresh("{phone.refreshToken}"), refused(401, "invalid_token")),
            (refresh("{ana.refresh}"), status(200)),
            (login("{ana.email}"), refused(401, "invalid_credentials")),
            (login("{ana.email}", "another long one"), status(200)),
        ],
    ),
    Scenario(
        "a new address replaces the old one, which is free again",
        given=[user("ana")],
        when=patch(_ME, as_="ana", json={"email": "New.{ana.email}", "currentPassword": PASSWORD}),
        then=status(200).json({"email": "new.{ana.email}"}),
        after=[
            (login("{ana.email}"), refused(401, "invalid_credentials")),
            (login("new.{ana.email}"), status(200)),
            (post(_REGISTER, json=registration("{ana.email}")), status(201)),
        ],
    ),
    Scenario(
        "an address that is taken cannot become mine",
        given=[user("ana"), user("ben")],
        when=patch(_ME, as_="ana", json={"email": "{ben.email}", "currentPassword": PASSWORD}),
        then=refused(409, "email_taken"),
        after=[
            (login("{ana.email}"), status(200)),
            (login("{ben.email}"), status(200).json({"user": {"id": "{ben}"}})),
        ],
    ),
    Scenario(
        "a guest gets an address by registering, not otherwise",
        when=patch(_ME, as_="ana", json={"email": "guest@example.org", "currentPassword": "x"}),
        then=refused(403, "forbidden"),
    ),
    Scenario(
        "an account that was removed is gone: tokens, address, login",
        given=[user("ana")],
        when=delete(_ME, as_="ana"),
        then=status(204).empty(),
        after=[
            (get(_ME, as_="ana"), refused(401, "unauthenticated")),
            (refresh("{ana.refresh}"), refused(401, "invalid_token")),
            (login("{ana.email}"), refused(401, "invalid_credentials")),
            (patch(_ME, as_="ana", json={"name": "x"}), refused(401, "unauthenticated")),
            (delete(_ME, as_="ana"), status(204)),
            (post(_REGISTER, json=registration("{ana.email}")), status(201)),
        ],
    ),
    Scenario(
        "whoever removes his account leaves his rooms, without a trace of name or votes",
        given=[
            room("r1", ["ana", "ben", "cleo"], rule={"kind": "atLeast", "count": 3}),
            votes("r1", ana={"jaws": "yes"}, ben={"jaws": "yes"}),
        ],
        when=delete(_ME, as_="ana"),
        then=status(204).empty(),
        after=[
            (
                get("/api/rooms/{r1}", as_="ben"),
                status(200)
                .json({"hostId": "{ben}", "members": [{"userId": "{ben}"}, {"userId": "{cleo}"}]})
                .without("{ana}"),
            ),
            (
                get("/api/rooms/{r1}/results", as_="ben"),
                status(200).json({"voted": 1, "members": 2}).without("{ana}"),
            ),
        ],
    ),
    Scenario(
        "removing an account can complete the agreement of those who stay",
        given=[
            room("r1", ["ana", "ben", "cleo"]),
            votes("r1", ana={"jaws": "no"}, ben={"jaws": "yes"}, cleo={"jaws": "yes"}),
        ],
        when=delete(_ME, as_="ana"),
        then=status(204),
        after=[
            (
                get("/api/rooms/{r1}", as_="ben"),
                status(200).json({"state": "decided", "matches": [{"titleId": "{r1.jaws}"}]}),
            )
        ],
    ),
    # Forgotten passwords, as far as it can be seen from outside
    Scenario(
        "asking for a new password is always answered the same",
        when=post("/api/auth/password/forgot", json={"email": f"{uuid.uuid4().hex}@example.org"}),
        then=status(202).empty(),
    ),
    Scenario(
        "asking with something that is no address is answered the same, too",
        when=post("/api/auth/password/forgot", json={"email": "nobody"}),
        then=status(202).empty(),
    ),
    Scenario(
        "a reset token that was never given out is refused",
        when=post("/api/auth/password/reset", json={"token": "x", "password": "long enough"}),
        then=refused(401, "invalid_token"),
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_accounts(scenario: Scenario, host: Host) -> None:
    play(scenario, host)


def test_letter_case_of_an_address_does_not_matter(world: World) -> None:
    ana = world.user("ana")
    address = str(ana.email).upper()
    again = world.client.post("/api/auth/register", json=registration(address))
    assert (again.status, again.code) == (409, "email_taken")
    assert world.send(login(address)).json["user"]["id"] == ana.id


def test_a_wrong_password_cannot_be_told_from_an_unknown_address(world: World) -> None:
    ana = world.user("ana")
    wrong = world.send(login(str(ana.email), "wrong horse battery"))
    unknown = world.send(login(f"{uuid.uuid4().hex}@example.org", "wrong horse battery"))

    def visible(response):
        ignored = ("date", "x-request-id", "apigw-requestid", "content-length")
        problem = {name: value for name, value in response.json.items() if name != "instance"}
        headers = {n: v for n, v in response.headers.items() if n not in ignored}
        return response.status, headers, problem

    assert visible(wrong) == visible(unknown)


def test_of_two_accounts_with_one_address_at_the_same_time_one_is_opened(world: World) -> None:
    body = registration(f"{uuid.uuid4().hex}@example.org")
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda _: world.client.post("/api/auth/register", json=body), range(6))
        )
    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert {answer.code for answer in answers} == {None, "email_taken"}


def test_of_two_refreshes_with_one_token_at_the_same_time_at_most_one_works(world: World) -> None:
    body = {"refreshToken": world.guest("ana").refresh}
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: world.client.post("/api/auth/refresh", json=body), range(4))
        )
    assert sum(answer.status == 200 for answer in answers) == 1
    assert {a.code for a in answers if a.status != 200} <= {"token_reused", "invalid_token"}
    assert {answer.status for answer in answers} == {200, 401}


# --------------------------------------------------- with a look into the mailbox, embedded only


def mails_to(server: Server, address: str) -> list[str]:
    """Return the texts of all mails to an address."""
    found = []
    for path in sorted(
        Path(server.data / "mailbox").glob("*.eml"), key=lambda p: p.stat().st_mtime
    ):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if message["To"] == address:
            text = message.get_body(("plain",))
            assert text is not None
            found.append(str(text.get_content()))
    return found


@pytest.fixture
def here(embedded: Server) -> World:
    """A world on the server whose files can be seen."""
    return Host(embedded.base_url).world()


def token_for(server: Server, world: World, address: str) -> str:
    known = len(mails_to(server, address))
    asked = world.send(post("/api/auth/password/forgot", json={"email": address}))
    assert asked.status == 202
    text = eventually(lambda: mails_to(server, address)[known:] or None, "a mail comes")[0]
    found = re.search(r"#reset=(\S+)", text)
    assert found is not None, text
    return found[1]


def reset(token: str, password: str):
    return post("/api/auth/password/reset", json={"token": token, "password": password})


def test_the_token_of_a_mail_sets_a_new_password_once_and_ends_all_sessions(
    embedded: Server, here: World
) -> None:
    ana = here.user("ana")
    token = token_for(embedded, here, str(ana.email).upper().lower())
    assert here.send(reset(token, "short")).code == "invalid_request"
    assert here.send(reset(token, "a new long password")).status == 204
    assert here.send(reset(token, "another long password")).code == "invalid_token"
    assert here.send(login(str(ana.email))).code == "invalid_credentials"
    assert here.send(login(str(ana.email), "a new long password")).status == 200
    assert here.send(refresh(ana.refresh)).code == "invalid_token"


def test_an_earlier_reset_mail_is_worth_nothing_after_the_password_was_set(
    embedded: Server, here: World
) -> None:
    ana = here.user("ana")
    first = token_for(embedded, here, str(ana.email))
    second = token_for(embedded, here, str(ana.email))
    assert here.send(reset(second, "a new long password")).status == 204
    assert here.send(reset(first, "the thief's password")).code == "invalid_token"
    assert here.send(login(str(ana.email), "a new long password")).status == 200


def test_a_reset_token_of_a_removed_account_is_worth_nothing(embedded: Server, here: World) -> None:
    ana = here.user("ana")
    token = token_for(embedded, here, str(ana.email))
    assert here.send(delete("/api/me", as_="ana")).status == 204
    assert here.send(reset(token, "a new long password")).code == "invalid_token"


def test_the_link_in_a_mail_does_not_lead_where_the_request_wants(
    embedded: Server, here: World
) -> None:
    ana = here.user("ana")
    for headers in ({"host": "evil.example"}, {"x-forwarded-host": "evil.example"}):
        call = post("/api/auth/password/forgot", json={"email": ana.email}, headers=headers)
        assert here.send(call).status == 202
    eventually(lambda: len(mails_to(embedded, str(ana.email))) == 2, "both mails come")
    texts = mails_to(embedded, str(ana.email))
    assert not any("evil.example" in text for text in texts)


def test_no_mail_is_written_to_an_unknown_address(embedded: Server, here: World) -> None:
    address = f"{uuid.uuid4().hex}@example.org"
    assert here.send(post("/api/auth/password/forgot", json={"email": address})).status == 202
    token_for(embedded, here, str(here.user("ana").email))  # a later mail is there by now
    assert mails_to(embedded, address) == []


ODD_ADDRESSES = (
    "ana+films@example.org",
    "ana.o'neill@example.org".replace("'", ""),
    "añá@example.org",
    "ana@exämple.org",
    "ana@[127.0.0.1]",
    "[@example.org",
    "ana]@example.org",
    "=?utf-8?q?x?=@example.org",
    "ana@example.org.",
    "%00@example.org",
    "-@example.org",
    ".@example.org",
    "{}@example.org",
    "ana@example.\u0661",
    "*@*.*",
    "🦊@example.org",
)


@pytest.mark.parametrize("address", ODD_ADDRESSES)
def test_a_mail_can_be_written_to_every_address_that_has_an_account(
    address: str, here: World, embedded: Server
) -> None:
    local, _, domain = address.rpartition("@")
    address = f"{local}{uuid.uuid4().hex}@{domain}"
    opened = here.send(post("/api/auth/register", json=registration(address)))
    if opened.status != 201:
        assert opened.code == "invalid_request"
        return
    assert here.send(post("/api/auth/password/forgot", json={"email": address})).status == 202
    eventually(lambda: mails_to(embedded, address) or None, "the mail is written")


def test_nothing_in_the_log_tells_who_somebody_is_or_lets_anybody_in(tmp_path: Path) -> None:
    with running(tmp_path, RATE_LIMITS="off") as server:
        client = Client(server.base_url)
        address = f"{uuid.uuid4().hex}@example.org"
        opened = client.post(_REGISTER, json=registration(address, name="Rumpelstilzchen"))
        session = opened.json
        token = session["accessToken"]
        client.post("/api/auth/login", json={"email": address, "password": "not his password"})
        client.post("/api/auth/password/forgot", json={"email": address})
        refreshed = client.post("/api/auth/refresh", json={"refreshToken": session["refreshToken"]})
        spec = {"source": "list", "items": [{"title": "jaws"}]}
        made = client.post("/api/rooms", token=token, json={"deck": spec}).json
        client.post("/api/rooms/join", token=token, json={"code": made["code"]})
        mail = eventually(lambda: mails_to(server, address) or None, "a mail comes")[0]
        reset_token = re.search(r"#reset=(\S+)", mail)
        assert reset_token is not None
        server.stop()
        log = server.log
    assert log.count('"operation"') >= 6, log
    for secret in (
        address,
        PASSWORD,
        "not his password",
        "Rumpelstilzchen",
        token,
        session["refreshToken"],
        refreshed.json["refreshToken"],
        reset_token[1],
        session["user"]["id"],
        made["code"],
    ):
        assert secret not in log, secret


def test_the_id_of_a_response_is_in_the_line_of_the_log(tmp_path: Path) -> None:
    with running(tmp_path, RATE_LIMITS="off") as server:
        client = Client(server.base_url)
        ids = [
            client.post("/api/auth/guest", json={"name": "ana"}).headers["x-request-id"],
            client.post("/api/auth/guest", json={"name": ""}).headers["x-request-id"],
            client.post("/api/auth/login", body=b"{").headers["x-request-id"],
        ]
        server.stop()
        log = server.log
    assert len(set(ids)) == len(ids)
    assert [request_id for request_id in ids if request_id not in log] == []


def test_a_request_that_the_gateway_refuses_has_a_line_in_the_log_too(tmp_path: Path) -> None:
    with running(tmp_path, RATE_LIMITS="off") as server:
        client = Client(server.base_url)
        ids = {
            "no token": client.get("/api/me").headers["x-request-id"],
            "too large": client.post("/api/auth/guest", body=b"x" * 300_000).headers[
                "x-request-id"
            ],
        }
        server.stop()
        log = server.log
    assert {what for what, request_id in ids.items() if request_id not in log} == set()


def test_access_tokens_stay_valid_over_a_restart(tmp_path: Path) -> None:
    server = Server(tmp_path, {"RATE_LIMITS": "off", "PUBLIC_URL": "http://trinity.example"})
    server.start()
    try:
        session = server.client.post("/api/auth/guest", json={"name": "ana"}).json
        server.stop()
        server.start()
        me = server.client.get("/api/me", token=session["accessToken"])
        assert (me.status, me.json["name"]) == (200, "ana")
        body = {"refreshToken": session["refreshToken"]}
        assert server.client.post("/api/auth/refresh", json=body).status == 200
    finally:
        if server.is_running:
            server.stop()
