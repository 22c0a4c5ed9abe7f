"""`SigningKeys` and `Secrets` in secrets of AWS.

The signing keys are one secret, so that whoever reads it sees all that are good at that moment.
Signing with KMS instead would keep them from being read at all, for a call, and a quota shared by
the whole account, at every sign-in; and each rotation would make a key that costs money for good.
"""

from typing import TYPE_CHECKING

import msgspec

from trinity.domain import signing
from trinity.domain.ids import Millis
from trinity.infrastructure.secretsmanager.secret import Secret
from trinity.ports import Clock, Unavailable

if TYPE_CHECKING:
    from trinity.infrastructure.system.rsa import RsaKey


class _Key(msgspec.Struct, frozen=True):
    """A key in the secret.

    Attributes:
        created: when it was made, in milliseconds since 1970.
        public: its JSON Web Key.
        private: the whole key, as `RsaKey.pem` writes it.
    """

    kid: str
    created: Millis
    public: dict[str, str]
    private: str


class _Keys(msgspec.Struct, frozen=True):
    keys: list[_Key]  # oldest first


class AwsKeys:
    """See `SigningKeys`.

    What reads keys needs `secretsmanager:GetSecretValue`, what renews them
    `secretsmanager:PutSecretValue`, too. The first call of `renew` makes the first key.

    Args:
        secret: the keys; only `renew` writes it.
        clock: tells which of them signs.
    """

    def __init__(self, secret: Secret, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self._text = ""
        self._parsed: list[_Key] = []
        self._loaded: dict[str, RsaKey] = {}

    def current(self) -> "RsaKey":
        """See `SigningKeys.current`.

        Raises:
            Unavailable: no key was made yet, or they cannot be read.
        """
        keys = self._keys()
        created = [key.created for key in keys]
        return self._load(keys[signing.signing(created, self._clock.now())])

    def by_kid(self, kid: str) -> "RsaKey | None":
        """See `SigningKeys.by_kid`."""
        return next((self._load(key) for key in self._keys() if key.kid == kid), None)

    def public(self) -> list[dict[str, str]]:
        """See `SigningKeys.public`.

        Raises:
            Unavailable: as above. API Gateway would keep an empty set for two hours, and refuse
                all that the first key signs.
        """
        return [key.public for key in self._keys()]

    def renew(self) -> None:
        """See `SigningKeys.renew`."""
        from trinity.infrastructure.system.rsa import RsaKey

        old = self._secret.read()
        keys, now = _parse(old.text), self._clock.now()
        if keys and not signing.due(keys[-1].created, now):
            return
        fresh = RsaKey.generate()
        made = _Key(fresh.kid, now, fresh.jwk(), fresh.pem().decode())
        # If another one was faster, his key is as good as this one.
        self._secret.replace(old, msgspec.json.encode(_Keys([*keys[-1:], made])).decode())

    def _keys(self) -> list[_Key]:
        # Where there was no key yet, nobody waits until it is time to read the first one.
        for read in (self._secret.current, self._secret.read):
            text = read().text
            if text != self._text:
                self._text, self._parsed, self._loaded = text, _parse(text), {}
            if self._parsed:
                return self._parsed
        raise Unavailable("there is no signing key yet: rotate_keys makes the first one")

    def _load(self, key: _Key) -> "RsaKey":
        loaded = self._loaded.get(key.kid)
        if loaded is None:
            # Only here: whoever merely shows the public keys does not need to load this library.
            from trinity.infrastructure.system.rsa import RsaKey

            loaded = self._loaded[key.kid] = RsaKey.read(key.kid, key.private.encode())
        return loaded


def _parse(text: str) -> list[_Key]:
    return msgspec.json.decode(text, type=_Keys).keys if text else []
