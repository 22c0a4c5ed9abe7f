"""The contracts of `SigningKeys` and `Secrets`, for every adapter; how files and AWS keep them."""

import multiprocessing
import os
import stat
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.contract.conftest import account, new_secret
from tests.fakes import NOON, FakeClock
from trinity.common import tokens
from trinity.domain.ids import DAY, HOUR, Millis, UserId
from trinity.domain.users import User
from trinity.embedded.authorizer import Authorizer
from trinity.infrastructure.aws.client import SECRETS_MANAGER, AwsError
from trinity.infrastructure.filesystem.keys import FileKeys, FileSecrets
from trinity.infrastructure.secretsmanager.keys import AwsKeys
from trinity.infrastructure.secretsmanager.secret import Secret, Version
from trinity.infrastructure.secretsmanager.secrets import AwsSecrets
from trinity.infrastructure.system.ids import SystemIds
from trinity.ports import Secrets, SigningKeys, Unavailable

BOUND_S = 30.0
ADAPTERS = ["filesystem", "aws"]


def open_secret(endpoint: str, arn: str) -> Secret:
    return Secret(account(endpoint).client(SECRETS_MANAGER), arn)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=ADAPTERS)
def open_keys(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Callable[[], SigningKeys]:
    """Open the same keys, again and again."""
    if request.param == "filesystem":
        return lambda: FileKeys(tmp_path / "keys", clock)
    endpoint: str = request.getfixturevalue("aws")
    arn = new_secret(endpoint)
    AwsKeys(open_secret(endpoint, arn), clock).renew()
    return lambda: AwsKeys(open_secret(endpoint, arn), clock)


@pytest.fixture
def keys(open_keys: Callable[[], SigningKeys]) -> SigningKeys:
    return open_keys()


@pytest.fixture(params=ADAPTERS)
def open_secrets(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Secrets]:
    """Open secrets by a name: the same name, the same secrets."""
    if request.param == "filesystem":
        return lambda name: FileSecrets(tmp_path / name)
    endpoint: str = request.getfixturevalue("aws")
    arns = {name: new_secret(endpoint, f"a text of {name}, that is long") for name in "ab"}
    return lambda name: AwsSecrets(open_secret(endpoint, arns[name]))


def test_what_a_key_signs_it_verifies_and_nothing_else(keys: SigningKeys) -> None:
    key = keys.current()
    signature = key.sign(b"message")
    assert key.verify(b"message", signature)
    assert not key.verify(b"massage", signature)
    assert not key.verify(b"message", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not key.verify(b"message", signature[:-1])
    assert not key.verify(b"message", b"")


def test_the_key_that_signs_is_found_by_its_name(keys: SigningKeys) -> None:
    key = keys.current()
    found = keys.by_kid(key.kid)
    assert found is not None
    assert found.kid == key.kid
    assert found.verify(b"message", key.sign(b"message"))


@pytest.mark.parametrize("kid", ["", "other", "../cursor", "*", "."])
def test_a_name_that_no_key_has_leads_to_none(keys: SigningKeys, kid: str) -> None:
    assert keys.by_kid(kid) is None


def test_the_key_set_lets_others_verify_tokens(keys: SigningKeys) -> None:
    key = keys.current()
    head, body = (
        jwt.utils.base64url_encode(part).decode() for part in (_head(key.kid), b'{"a":1}')
    )
    signed = f"{head}.{body}"
    token = f"{signed}.{jwt.utils.base64url_encode(key.sign(signed.encode())).decode()}"
    published = jwt.PyJWKSet.from_dict({"keys": keys.public()})
    assert jwt.decode(token, published[key.kid], algorithms=["RS256"]) == {"a": 1}


def _head(kid: str) -> bytes:
    return f'{{"alg":"RS256","typ":"JWT","kid":"{kid}"}}'.encode()


def test_the_key_set_has_what_rfc_7517_asks_for_and_nothing_private(keys: SigningKeys) -> None:
    [published] = keys.public()
    assert set(published) == {"kty", "use", "alg", "kid", "n", "e"}
    assert (published["kty"], published["use"], published["alg"]) == ("RSA", "sig", "RS256")
    assert published["kid"] == keys.current().kid
    assert published["e"] == "AQAB"
    assert "=" not in published["n"]
    modulus = int.from_bytes(jwt.utils.base64url_decode(published["n"]), "big")
    assert modulus.bit_length() >= 2048


def test_opened_again_the_keys_are_the_same(open_keys: Callable[[], SigningKeys]) -> None:
    first, second = open_keys(), open_keys()
    assert first.public() == second.public()
    assert second.current().verify(b"message", first.current().sign(b"message"))


def test_the_cursor_key_has_32_bytes_and_stays_and_is_another_elsewhere(
    open_secrets: Callable[[str], Secrets],
) -> None:
    key = open_secrets("a").cursor_key()
    assert len(key) == 32
    assert open_secrets("a").cursor_key() == key
    assert open_secrets("b").cursor_key() != key


# ---------------------------------------------------------------------------------------- renewal

MONTH = 30 * DAY


def kids(keys: SigningKeys) -> list[str]:
    return [key["kid"] for key in keys.public()]


def test_a_key_is_renewed_when_it_is_a_month_old_and_not_before(
    keys: SigningKeys, clock: FakeClock
) -> None:
    [first] = kids(keys)
    clock.advance(MONTH - 1)
    keys.renew()
    assert kids(keys) == [first]
    clock.advance(1)
    keys.renew()
    assert len(kids(keys)) == 2
    assert kids(keys)[0] == first


def test_renewing_again_and_elsewhere_makes_no_other_key(
    open_keys: Callable[[], SigningKeys], clock: FakeClock
) -> None:
    keys = open_keys()
    clock.advance(MONTH)
    keys.renew()
    made = kids(keys)
    for again in (keys, keys, open_keys()):
        again.renew()
        assert kids(again) == made


def test_a_key_is_shown_for_hours_before_it_signs(
    open_keys: Callable[[], SigningKeys], clock: FakeClock
) -> None:
    keys = open_keys()
    clock.advance(MONTH)
    keys.renew()
    first, second = kids(keys)
    clock.advance(6 * HOUR - 1)
    assert keys.current().kid == open_keys().current().kid == first
    clock.advance(1)
    assert keys.current().kid == open_keys().current().kid == second


def test_what_the_older_key_signed_is_accepted_until_the_next_is_made(
    open_keys: Callable[[], SigningKeys], clock: FakeClock
) -> None:
    keys = open_keys()
    signature = keys.current().sign(b"message")
    first = keys.current().kid
    clock.advance(MONTH)
    keys.renew()
    clock.advance(MONTH - 1)
    for opened in (keys, open_keys()):
        assert opened.current().kid != first
        older = opened.by_kid(first)
        assert older is not None
        assert older.verify(b"message", signature)
        assert not opened.current().verify(b"message", signature)
    clock.advance(1)
    keys.renew()
    for opened in (keys, open_keys()):
        assert opened.by_kid(first) is None
        assert len(kids(opened)) == 2


# ---------------------------------------------------------------------------------- in files alone


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_gateway_takes_tokens_of_a_key_that_was_made_after_its_start(tmp_path: Path) -> None:
    now = Millis(time.time_ns() // 1_000_000)
    clock = FakeClock(Millis(now - MONTH - 6 * HOUR))
    keys = FileKeys(tmp_path, clock)
    gateway = Authorizer(keys, "https://trinity.example")
    user = User(id=UserId("ana4567890123456"), name="Ana", created_at=NOON)

    def token() -> str:
        return tokens.issue(keys, SystemIds(), user, "family", "https://trinity.example", now)

    assert gateway.claims(f"Bearer {token()}") is not None
    clock.advance(MONTH)
    keys.renew()
    older = token()
    clock.advance(6 * HOUR)
    newer = token()
    assert older.split(".")[0] != newer.split(".")[0]
    for good in (older, newer):
        claims = gateway.claims(f"Bearer {good}")
        assert claims is not None
        assert claims["sub"] == user.id


def test_a_renewed_key_is_a_file_as_closed_as_the_first_and_older_ones_are_gone(
    tmp_path: Path, clock: FakeClock
) -> None:
    keys = FileKeys(tmp_path, clock)
    for _ in range(3):
        clock.advance(MONTH)
        keys.renew()
    files = list(tmp_path.glob("*.pem"))
    assert {path.stem for path in files} == set(kids(keys))
    assert [mode(path) for path in files] == [0o600, 0o600]


def test_key_files_can_be_read_by_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    before = os.umask(0)
    try:
        FileKeys(folder, FakeClock())
        FileSecrets(folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert {path.suffix: mode(path) for path in folder.iterdir()} == {".pem": 0o600, ".key": 0o600}


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    FileKeys(folder, FakeClock())
    assert mode(folder) == 0o700


def _open_all(folder: str) -> tuple[str, bytes]:
    path = Path(folder)
    return FileKeys(path, FakeClock()).current().kid, FileSecrets(path).cursor_key()


def test_of_eight_processes_that_start_at_once_all_have_the_same_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(8, mp_context=context) as pool:
        work = [pool.submit(_open_all, str(tmp_path / "keys")) for _ in range(8)]
        seen = {one.result(BOUND_S) for one in work}
    assert len(seen) == 1
    assert len(list((tmp_path / "keys").iterdir())) == 2


def add_key(folder: Path, kid: str, written_at: float, private: Any = None) -> None:
    private = private or rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / f"{kid}.pem"
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    os.utime(path, (written_at, written_at))


@pytest.mark.parametrize("kid", ["000", "zzz"])
def test_the_age_of_a_key_counts_and_not_its_name(
    kid: str, tmp_path: Path, clock: FakeClock
) -> None:
    before = FileKeys(tmp_path, clock)
    old, signature = before.current().kid, before.current().sign(b"message")
    clock.advance(DAY)
    add_key(tmp_path, kid, (clock.now() - 6 * HOUR) / 1000)
    after = FileKeys(tmp_path, clock)
    assert after.current().kid == kid
    accepted = after.by_kid(old)
    assert accepted is not None
    assert accepted.verify(b"message", signature)
    assert kids(after) == [old, kid]


def test_a_key_that_was_taken_away_is_not_accepted_any_more(
    tmp_path: Path, clock: FakeClock
) -> None:
    first = FileKeys(tmp_path, clock).current().kid
    [path] = tmp_path.glob("*.pem")
    add_key(tmp_path, "newer", path.stat().st_mtime + 1)
    path.unlink()
    keys = FileKeys(tmp_path, clock)
    assert keys.by_kid(first) is None
    assert keys.current().kid == "newer"


def test_a_key_that_cannot_sign_tokens_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    add_key(tmp_path, "elliptic", 0, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ValueError, match=r"elliptic\.pem does not hold an RSA key"):
        FileKeys(tmp_path, FakeClock())


# ----------------------------------------------------------------------------------- on AWS alone


class Vault:
    """A client of Secrets Manager that a test answers for, with the rule that MiniStack lacks:

    a version that exists keeps its value.
    """

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self.newest = ""
        self.reads = 0
        self.down = False

    def call(self, operation: str, request: dict[str, Any], *, idempotent: bool) -> dict[str, Any]:
        assert idempotent
        if self.down:
            raise Unavailable("no answer")
        if operation == "GetSecretValue":
            self.reads += 1
            if not self.newest:
                message = "can't find the specified secret value for staging label: AWSCURRENT"
                raise AwsError("ResourceNotFoundException", message, 400, {})
            return {"VersionId": self.newest, "SecretString": self.versions[self.newest]}
        assert operation == "PutSecretValue"
        token, text = request["ClientRequestToken"], request["SecretString"]
        assert 32 <= len(token) <= 64
        if self.versions.setdefault(token, text) != text:
            raise AwsError("ResourceExistsException", "it has another value", 400, {})
        self.newest = token
        return {}


def test_of_two_who_renew_at_once_one_makes_the_key_for_both(clock: FakeClock) -> None:
    vault = Vault()
    for _ in range(3):
        before = vault.newest
        slow = AwsKeys(Secret(vault, "keys"), clock)  # type: ignore[arg-type]
        fast = AwsKeys(Secret(vault, "keys"), clock)  # type: ignore[arg-type]
        read = Secret.read

        def overtaken(self: Secret, read: Any = read, fast: AwsKeys = fast) -> Version:
            version: Version = read(self)
            with pytest.MonkeyPatch.context() as instead:
                instead.setattr(Secret, "read", read)
                fast.renew()
            return version

        with pytest.MonkeyPatch.context() as instead:
            instead.setattr(Secret, "read", overtaken)
            slow.renew()
        assert vault.newest != before
        assert slow.public() == fast.public()
        assert slow.current().verify(b"message", fast.current().sign(b"message"))
        clock.advance(MONTH)
    assert len(vault.versions) == 3


def test_keys_are_read_again_every_five_minutes_and_old_ones_do_while_that_fails(
    clock: FakeClock,
) -> None:
    vault = Vault()
    AwsKeys(Secret(vault, "keys"), clock).renew()  # type: ignore[arg-type]
    vault.reads = 0
    keys = AwsKeys(Secret(vault, "keys", monotonic=clock.monotonic), clock)  # type: ignore[arg-type]
    [first] = kids(keys)
    clock.advance(299_999)
    keys.current().sign(b"message")
    assert vault.reads == 1
    clock.advance(1)
    keys.current().sign(b"message")
    assert vault.reads == 2
    vault.down = True
    clock.advance(MONTH)
    assert keys.current().kid == first
    vault.down = False
    AwsKeys(Secret(vault, "keys"), clock).renew()  # type: ignore[arg-type]
    clock.advance(300_000)
    assert len(kids(keys)) == 2


def test_keys_that_were_never_read_are_unavailable_while_they_cannot_be() -> None:
    vault = Vault()
    vault.down = True
    with pytest.raises(Unavailable, match="no answer"):
        AwsKeys(Secret(vault, "keys"), FakeClock()).current()  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [None, '{"keys":[]}'])
def test_before_the_first_renewal_nothing_can_be_signed_and_no_set_is_shown(
    text: str | None, aws: str, clock: FakeClock
) -> None:
    keys = AwsKeys(open_secret(aws, new_secret(aws, text)), clock)
    for look in (keys.current, keys.public):  # a gateway would keep an empty set for hours
        with pytest.raises(Unavailable, match="no signing key yet"):
            look()
    keys.renew()
    assert keys.current().kid in kids(keys)


@pytest.mark.parametrize("text", [None, '{"keys":[]}'])
def test_the_first_key_is_seen_at_once_by_whoever_looked_for_it_too_early(
    text: str | None, clock: FakeClock
) -> None:
    vault = Vault()
    if text is not None:
        vault.versions, vault.newest = {"first": text}, "first"
    early = AwsKeys(Secret(vault, "keys", monotonic=clock.monotonic), clock)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="no signing key yet"):
        early.public()
    AwsKeys(Secret(vault, "keys"), clock).renew()  # type: ignore[arg-type]
    assert len(kids(early)) == 1


def test_a_secret_that_holds_something_else_is_not_overwritten(aws: str, clock: FakeClock) -> None:
    arn = new_secret(aws, "hunter2")
    with pytest.raises(ValueError, match="JSON"):
        AwsKeys(open_secret(aws, arn), clock).renew()
    assert open_secret(aws, arn).read().text == "hunter2"


def test_a_secret_that_does_not_exist_is_no_empty_one(aws: str) -> None:
    keys = AwsKeys(open_secret(aws, "no-such-secret"), FakeClock())
    with pytest.raises(AwsError, match="ResourceNotFoundException"):
        keys.public()


def test_cursors_are_never_signed_with_a_secret_that_has_no_value_yet(aws: str) -> None:
    with pytest.raises(Unavailable, match="no value yet"):
        AwsSecrets(open_secret(aws, new_secret(aws))).cursor_key()
