"""The contracts of `SigningKeys` and `Secrets`, for every adapter; and how files keep them."""

import multiprocessing
import os
import stat
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from trinity.infrastructure.filesystem.keys import FileKeys, FileSecrets
from trinity.ports import Secrets, SigningKeys

BOUND_S = 30.0
KEYS: dict[str, Callable[[Path], SigningKeys]] = {
    "filesystem": lambda folder: FileKeys(folder / "keys"),
}
SECRETS: dict[str, Callable[[Path], Secrets]] = {
    "filesystem": lambda folder: FileSecrets(folder / "keys"),
}


@pytest.fixture(params=KEYS)
def open_keys(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SigningKeys]:
    """Open the same keys, again and again."""
    return lambda: KEYS[request.param](tmp_path)


@pytest.fixture
def keys(open_keys: Callable[[], SigningKeys]) -> SigningKeys:
    return open_keys()


@pytest.fixture(params=SECRETS)
def open_secrets(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Secrets]:
    return lambda: SECRETS[request.param](tmp_path)


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


def test_the_cursor_key_has_32_bytes_of_chance_and_stays(
    open_secrets: Callable[[], Secrets], tmp_path: Path
) -> None:
    key = open_secrets().cursor_key()
    assert len(key) == 32
    assert open_secrets().cursor_key() == key
    other = FileSecrets(tmp_path / "another").cursor_key()
    assert other != key


# ---------------------------------------------------------------------------------- in files alone


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_key_files_can_be_read_by_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    before = os.umask(0)
    try:
        FileKeys(folder)
        FileSecrets(folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert {path.suffix: mode(path) for path in folder.iterdir()} == {".pem": 0o600, ".key": 0o600}


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    FileKeys(folder)
    assert mode(folder) == 0o700


def _open_all(folder: str) -> tuple[str, bytes]:
    path = Path(folder)
    return FileKeys(path).current().kid, FileSecrets(path).cursor_key()


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
def test_a_newer_key_signs_and_what_the_older_one_signed_is_still_accepted(
    kid: str, tmp_path: Path
) -> None:
    before = FileKeys(tmp_path)
    old, signature = before.current().kid, before.current().sign(b"message")
    [path] = tmp_path.glob("*.pem")
    add_key(tmp_path, kid, path.stat().st_mtime + 1)
    after = FileKeys(tmp_path)
    assert after.current().kid == kid
    accepted = after.by_kid(old)
    assert accepted is not None
    assert accepted.verify(b"message", signature)
    assert not after.current().verify(b"message", signature)
    assert [key["kid"] for key in after.public()] == [old, kid]


def test_a_key_that_was_taken_away_is_not_accepted_any_more(tmp_path: Path) -> None:
    first = FileKeys(tmp_path).current().kid
    [path] = tmp_path.glob("*.pem")
    add_key(tmp_path, "newer", path.stat().st_mtime + 1)
    path.unlink()
    keys = FileKeys(tmp_path)
    assert keys.by_kid(first) is None
    assert keys.current().kid == "newer"


def test_a_key_that_cannot_sign_tokens_is_refused_by_the_name_of_its_file(tmp_path: Path) -> None:
    add_key(tmp_path, "elliptic", 0, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ValueError, match=r"elliptic\.pem does not hold an RSA key"):
        FileKeys(tmp_path)
