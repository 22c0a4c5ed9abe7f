"""Access tokens."""

import base64
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.common import tokens
from trinity.domain.users import ACCESS_TOKEN_FOR, User
from trinity.infrastructure.system.ids import SystemIds

NOW = 1_800_000_000_000
ISSUER = "https://trinity.example"


class Key:
    """Signs with a secret: 256 bytes, like RSA, and a thousand times as fast."""

    def __init__(self, kid):
        self.kid = kid

    def sign(self, message):
        return hmac.digest(self.kid.encode(), message, "sha512") * 4

    def verify(self, message, signature):
        return hmac.compare_digest(self.sign(message), signature)


class Keys:
    """Two keys; the newer one signs."""

    def __init__(self):
        self.keys = {"older": Key("older"), "newer": Key("newer")}

    def current(self):
        return self.keys["newer"]

    def by_kid(self, kid):
        return next((key for key in self.keys.values() if key.kid == kid), None)


KEYS = Keys()
ANA = User(id="ana", name="Ana", created_at=NOW)
TOKEN = tokens.issue(KEYS, SystemIds(), ANA, "family", ISSUER, NOW)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


def subject(token, *, keys=KEYS, issuer=ISSUER, now=NOW):
    return tokens.subject(keys, token, issuer, now)


def part(content):
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def read(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def signed(header, claims):
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(KEYS.current().sign(text.encode()))}"


HEADER, CLAIMS = (read(text) for text in TOKEN.split(".")[:2])


def test_a_token_says_whose_it_is():
    assert subject(TOKEN) == "ana"
    assert subject(signed(HEADER, CLAIMS)) == "ana"
    assert HEADER == {"alg": "RS256", "typ": "JWT", "kid": "newer"}
    assert CLAIMS["exp"] - CLAIMS["iat"] == ACCESS_TOKEN_FOR // 1000
    assert (CLAIMS["sub"], CLAIMS["sid"], CLAIMS["guest"]) == ("ana", "family", True)


def test_no_change_of_a_single_character_is_accepted():
    accepted = [
        (place, char)
        for place in range(len(TOKEN))
        for char in ALPHABET
        if char != TOKEN[place] and subject(TOKEN[:place] + char + TOKEN[place + 1 :]) is not None
    ]
    assert accepted == []


@given(st.integers(0, len(TOKEN)), st.text(min_size=1, max_size=3))
def test_nothing_can_be_put_into_a_token(place, text):
    assert subject(TOKEN[:place] + text + TOKEN[place:]) is None


@given(st.integers(0, len(TOKEN) - 1))
def test_a_part_of_a_token_is_none(length):
    assert subject(TOKEN[:length]) is None


@given(st.text())
def test_what_is_no_token_is_nobodys(text):
    assert subject(text) is None


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "RS384", None, ["RS256"]])
def test_another_algorithm_is_refused_though_the_signature_is_right(alg):
    assert subject(signed({**HEADER, "alg": alg}, CLAIMS)) is None


def test_a_token_without_a_signature_is_refused():
    head, body, _ = TOKEN.split(".")
    assert subject(f"{part({**HEADER, 'alg': 'none'})}.{body}.") is None
    assert subject(f"{head}.{body}.") is None
    assert subject(f"{head}.{body}") is None


@pytest.mark.parametrize("kid", ["older", "unknown", "", None, 3, ["newer"], {"newer": 1}])
def test_a_key_that_did_not_sign_it_does_not_vouch_for_it(kid):
    assert subject(signed({**HEADER, "kid": kid}, CLAIMS)) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://eve.example"},
        {"iss": ISSUER + "/"},
        {"aud": "other"},
        {"aud": ""},
        {"exp": NOW // 1000},
        {"exp": 0},
    ],
    ids=str,
)
def test_claims_of_another_issuer_audience_or_time_are_refused(claims):
    assert subject(signed(HEADER, {**CLAIMS, **claims})) is None


def test_a_token_is_good_for_fifteen_minutes():
    assert subject(TOKEN, now=NOW + ACCESS_TOKEN_FOR - 1) == "ana"
    assert subject(TOKEN, now=NOW + ACCESS_TOKEN_FOR) is None


@pytest.mark.parametrize("header", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 5000])
def test_a_header_that_is_none_is_refused(header):
    assert subject(f"{part(header)}.{TOKEN.split('.')[1]}.{TOKEN.split('.')[2]}") is None
