"""How often something may be tried, and that nobody else pays for it. On servers of their own."""

import uuid
from collections.abc import Iterator

import pytest

from tests.acceptance.contract import violations
from tests.acceptance.scenarios import PASSWORD
from tests.server import Client, Response, Server, eventually, running
from trinity.common.rate_limits import PER_ACCOUNT, PER_ADDRESS

# Behind a trusted proxy every test has an address of its own, and counts from nothing.
_PROXY = "127.0.0.1"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with its limits on, behind a proxy on this machine."""
    folder = tmp_path_factory.mktemp("limited")
    with running(folder, RATE_LIMITS="on", TRUSTED_PROXIES=_PROXY) as server:
        yield server


class Somewhere:
    """A client at an address.

    Args:
        client: of the server.
        address: as a proxy tells it.
    """

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._headers = {"x-forwarded-for": address}

    def post(self, path: str, json: object, token: str | None = None) -> Response:
        answer = self._client.post(path, json=json, token=token, headers=self._headers)
        assert violations(answer) == [], answer
        return answer

    def patch(self, path: str, json: object, token: str) -> Response:
        answer = self._client.patch(path, json=json, token=token, headers=self._headers)
        assert violations(answer) == [], answer
        return answer


_addresses = (f"198.51.{third}.{fourth}" for third in range(100) for fourth in range(1, 255))


@pytest.fixture
def somewhere(limited: Server) -> Somewhere:
    return Somewhere(limited.client, next(_addresses))


@pytest.fixture
def elsewhere(limited: Server) -> Somewhere:
    return Somewhere(limited.client, next(_addresses))


def new_email() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def guest(at: Somewhere) -> str:
    answer = at.post("/api/auth/guest", {"name": "ana"})
    assert answer.status == 201
    token: str = answer.json["accessToken"]
    return token


def register(at: Somewhere) -> tuple[str, str]:
    """Return address and access token of a new account."""
    email = new_email()
    json = {"email": email, "password": PASSWORD, "name": "ana"}
    answer = at.post("/api/auth/register", json)
    assert answer.status == 201
    return email, answer.json["accessToken"]


def login(at: Somewhere, email: str, password: str = PASSWORD) -> Response:
    return at.post("/api/auth/login", {"email": email, "password": password})


def is_limited(answer: Response, per_s: int) -> bool:
    """Tell whether an attempt was one too many, and that the answer says when to come again."""
    if answer.status != 429:
        return False
    assert answer.code == "rate_limited"
    assert 1 <= int(answer.headers["retry-after"]) <= per_s
    return True


def attempts_until_limited(attempt, most: int, per_s: int) -> None:
    """Attempt as often as may be, and once more."""
    for count in range(most):
        answer = attempt()
        assert answer.status != 429, f"attempt {count + 1} of {most}: {answer}"
    assert is_limited(attempt(), per_s)


def test_an_account_bears_so_many_logins_and_then_none_not_even_the_right_one(
    somewhere: Somewhere, elsewhere: Somewhere, limited: Server
) -> None:
    limit = PER_ACCOUNT["login"]
    email, _ = register(somewhere)
    other, _ = register(somewhere)
    attempts_until_limited(lambda: login(somewhere, email, "wrong one"), limit.most, limit.per_s)
    assert is_limited(login(somewhere, email), limit.per_s), "the right password gets through"
    assert is_limited(login(elsewhere, email), limit.per_s), "another address gets through"
    assert is_limited(login(elsewhere, email.upper()), limit.per_s), "capitals get through"
    assert is_limited(login(elsewhere, f" {email} "), limit.per_s), "blanks get through"
    assert login(somewhere, other).status == 200, "another account is affected"


def test_an_account_asks_for_so_many_uploads(somewhere: Somewhere, elsewhere: Somewhere) -> None:
    limit = PER_ACCOUNT["create_upload"]
    token, other = guest(somewhere), guest(somewhere)
    asked = {"kind": "avatar", "contentType": "image/png", "size": 1}
    attempts_until_limited(
        lambda: somewhere.post("/api/uploads", asked, token), limit.most, limit.per_s
    )
    assert is_limited(elsewhere.post("/api/uploads", asked, token), limit.per_s)
    assert somewhere.post("/api/uploads", asked, other).status == 201


def test_an_unknown_address_is_limited_like_a_known_one(somewhere: Somewhere) -> None:
    limit = PER_ACCOUNT["login"]
    email = new_email()
    attempts_until_limited(lambda: login(somewhere, email, "wrong one"), limit.most, limit.per_s)


def test_one_address_tries_so_many_accounts_and_then_none(
    somewhere: Somewhere, elsewhere: Somewhere
) -> None:
    limit = PER_ADDRESS["login"]
    email, _ = register(elsewhere)
    attempts_until_limited(
        lambda: login(somewhere, new_email(), "wrong one"), limit.most, limit.per_s
    )
    assert is_limited(login(somewhere, email), limit.per_s)
    assert login(elsewhere, email).status == 200, "another address is affected"


def test_one_address_makes_so_many_guests_and_then_none(
    somewhere: Somewhere, elsewhere: Somewhere
) -> None:
    limit = PER_ADDRESS["guest"]
    attempts_until_limited(
        lambda: somewhere.post("/api/auth/guest", {"name": "ana"}), limit.most, limit.per_s
    )
    assert guest(elsewhere)


def test_one_address_opens_so_many_accounts_and_then_none(
    somewhere: Somewhere, elsewhere: Somewhere
) -> None:
    limit = PER_ADDRESS["register"]
    json = {"email": "not an address", "password": PASSWORD, "name": "ana"}
    attempts_until_limited(
        lambda: somewhere.post("/api/auth/register", json), limit.most, limit.per_s
    )
    assert register(elsewhere)


def test_one_account_tries_so_many_codes_and_then_not_even_the_right_one(
    somewhere: Somewhere, elsewhere: Somewhere
) -> None:
    limit = PER_ACCOUNT["join"]
    guesser, other = guest(somewhere), guest(somewhere)
    deck = {"source": "list", "items": [{"title": "x"}]}
    room = elsewhere.post("/api/rooms", {"deck": deck}, token=guest(elsewhere)).json

    def guess(code: str = "AAAAAA", token: str = guesser, at: Somewhere = somewhere) -> Response:
        return at.post("/api/rooms/join", {"code": code}, token=token)

    attempts_until_limited(guess, limit.most, limit.per_s)
    assert is_limited(guess(room["code"]), limit.per_s)
    assert is_limited(guess(room["code"], at=elsewhere), limit.per_s)
    assert guess(room["code"], token=other).status == 200, "another account is affected"


def test_one_address_tries_so_many_codes_with_however_many_guests(
    somewhere: Somewhere, elsewhere: Somewhere
) -> None:
    limit = PER_ADDRESS["join"]
    tokens = [guest(somewhere) for _ in range(limit.most // PER_ACCOUNT["join"].most + 2)]
    tried = 0

    def guess() -> Response:
        nonlocal tried
        token = tokens[tried % len(tokens)]
        tried += 1
        return somewhere.post("/api/rooms/join", {"code": "AAAAAA"}, token=token)

    attempts_until_limited(guess, limit.most, limit.per_s)
    answer = elsewhere.post("/api/rooms/join", {"code": "AAAAAA"}, token=tokens[0])
    assert answer.code == "room_not_found", "another address is affected"


def test_one_account_gets_so_many_mails_and_then_none(
    somewhere: Somewhere, elsewhere: Somewhere, limited: Server
) -> None:
    limit = PER_ACCOUNT["forgot_password"]
    email, _ = register(somewhere)

    def forgot() -> Response:
        return somewhere.post("/api/auth/password/forgot", {"email": email})

    attempts_until_limited(forgot, limit.most, limit.per_s)

    def mails() -> int:
        texts = [path.read_text() for path in (limited.data / "mailbox").glob("*.eml")]
        return sum(email in text for text in texts)

    eventually(lambda: mails() == limit.most, "as many mails come")
    other = elsewhere.post("/api/auth/password/forgot", {"email": new_email()})
    assert other.status == 202, "another account is affected"


def test_whether_an_account_exists_does_not_show_in_the_limit_of_mails(
    somewhere: Somewhere,
) -> None:
    limit = PER_ACCOUNT["forgot_password"]
    email = new_email()
    attempts_until_limited(
        lambda: somewhere.post("/api/auth/password/forgot", {"email": email}),
        limit.most,
        limit.per_s,
    )


def test_one_address_asks_for_so_many_mails_and_then_for_none(somewhere: Somewhere) -> None:
    limit = PER_ADDRESS["forgot_password"]
    attempts_until_limited(
        lambda: somewhere.post("/api/auth/password/forgot", {"email": new_email()}),
        limit.most,
        limit.per_s,
    )


def test_one_address_tries_so_many_reset_tokens_and_then_none(
    somewhere: Somewhere, elsewhere: Somewhere
) -> None:
    limit = PER_ADDRESS["reset_password"]
    json = {"token": "x", "password": "long enough"}
    attempts_until_limited(
        lambda: somewhere.post("/api/auth/password/reset", json), limit.most, limit.per_s
    )
    assert elsewhere.post("/api/auth/password/reset", json).code == "invalid_token"


def test_a_stolen_access_token_tries_so_many_passwords_and_then_none(
    somewhere: Somewhere,
) -> None:
    limit = PER_ACCOUNT["change_account"]
    email, token = register(somewhere)
    json = {"password": "another long one", "currentPassword": "wrong"}
    attempts_until_limited(lambda: somewhere.patch("/api/me", json, token), limit.most, limit.per_s)
    right = {"password": "another long one", "currentPassword": PASSWORD}
    assert is_limited(somewhere.patch("/api/me", right, token), limit.per_s)
    assert login(somewhere, email).status == 200
    assert somewhere.patch("/api/me", {"name": "still me"}, token).status == 200


def test_nobody_gets_a_new_address_by_claiming_to_be_a_proxy(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    limit = PER_ADDRESS["guest"]
    with running(tmp_path_factory.mktemp("open"), RATE_LIMITS="on") as server:
        made_up = (Somewhere(server.client, address) for address in _addresses)
        attempts_until_limited(
            lambda: next(made_up).post("/api/auth/guest", {"name": "ana"}),
            limit.most,
            limit.per_s,
        )


def test_nobody_gets_a_new_address_behind_a_proxy_by_claiming_to_be_further_away(
    limited: Server, somewhere: Somewhere
) -> None:
    """The proxy appends the address that it sees; what stands before it is the client's own."""
    limit = PER_ADDRESS["guest"]
    mine = next(_addresses)
    made_up = (Somewhere(limited.client, f"{address}, {mine}") for address in _addresses)
    attempts_until_limited(
        lambda: next(made_up).post("/api/auth/guest", {"name": "ana"}), limit.most, limit.per_s
    )


def test_twenty_rooms_in_one_graphql_request_count_as_twenty(somewhere: Somewhere) -> None:
    token, most = guest(somewhere), PER_ACCOUNT["create_room"].most
    deck = '{deck: {source: list, items: [{title: "jaws"}]}}'
    fields = " ".join(f"a{n}: createRoom(input: {deck}) {{ id }}" for n in range(20))
    refused: list[str] = []
    for _ in range(most // 20 + 1):
        answer = somewhere.post("/graphql", {"query": f"mutation {{ {fields} }}"}, token)
        refused += [error["errorType"] for error in answer.json.get("errors", [])]
    assert refused == ["RateLimited"]  # what comes after it in the request is not tried


def test_one_graphql_request_tries_one_wrong_code(somewhere: Somewhere) -> None:
    """A field that must not be null ends its mutation: aliases are no way to guess faster."""
    token = guest(somewhere)
    fields = " ".join(f'a{n}: joinRoom(code: "22222{n % 10}") {{ id }}' for n in range(20))
    answer = somewhere.post("/graphql", {"query": f"mutation {{ {fields} }}"}, token)
    [error] = answer.json["errors"]
    assert (error["path"], error["errorType"]) == (["a0"], "RoomNotFound")
