"""`Uploads` in a folder, by the forms of S3.

Sources: those of `trinity.infrastructure.s3.forms`; "List of error codes" in the Amazon S3 API
reference.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trinity.domain.ids import Millis
from trinity.domain.uploads import of_key
from trinity.infrastructure.aws.credentials import Credentials
from trinity.infrastructure.filesystem import atomic
from trinity.infrastructure.filesystem.keys import secret_key
from trinity.infrastructure.s3.forms import ALGORITHM, FormSigner
from trinity.ports import Clock, Form

FORM_PATH = "/uploads"
"""Where forms are posted to."""
_BUCKET, _REGION, _ACCESS_KEY = "trinity", "local", "trinity"
_NOT_COVERED = frozenset(("policy", "x-amz-signature"))
_INVALID = "Invalid according to Policy: "


class FormRefused(Exception):
    """A form is not taken, in the words of S3.

    Attributes:
        status: of HTTP.
        code, message: of the error document.
        more: further elements of it.
    """

    def __init__(self, status: int, code: str, message: str, **more: str | int) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.more = more


class _Policy(msgspec.Struct, frozen=True):
    expiration: datetime
    conditions: list[Any]


class Incoming:
    """A file that is just coming in. It is there when it is kept.

    Args:
        path: where it will be.
        smallest, largest: how many bytes it may have.
    """

    def __init__(self, path: Path, smallest: int, largest: int) -> None:
        self._writing = atomic.Writing(path, mode=0o600)
        self._smallest = smallest
        self._largest = largest
        self._hash = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            FormRefused: the file is too large.
        """
        self.size += len(piece)
        if self.size > self._largest:
            message = "Your proposed upload exceeds the maximum allowed size"
            more = {"ProposedSize": self.size, "MaxSizeAllowed": self._largest}
            raise FormRefused(400, "EntityTooLarge", message, **more)
        self._hash.update(piece)
        self._writing.write(piece)

    def keep(self) -> str:
        """Let the file be there, durably, and return its entity tag.

        Raises:
            FormRefused: the file is too small.
        """
        if self.size < self._smallest:
            message = "Your proposed upload is smaller than the minimum allowed size"
            more = {"ProposedSize": self.size, "MinSizeAllowed": self._smallest}
            raise FormRefused(400, "EntityTooSmall", message, **more)
        self._writing.keep()
        return self._hash.hexdigest()

    def discard(self) -> None:
        """Leave nothing behind."""
        self._writing.discard()


class Admitted(NamedTuple):
    """What a form may bring."""

    key: str
    incoming: Incoming


class FileUploads:
    """See `Uploads`.

    Args:
        folder: where the files are; it is created. What a process that is no more left half done
            is removed: one process alone works with a folder.
        keys: the folder of keys.
        clock: what forms expire by.
    """

    def __init__(self, folder: Path, keys: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for half_done in folder.glob(".*"):
            half_done.unlink()
        self._folder = folder
        self._clock = clock
        self._credentials = Credentials(_ACCESS_KEY, secret_key(keys, "uploads").hex())
        self._signer = FormSigner(_BUCKET, _REGION)

    def presign(self, key: str, *, content_type: str, largest_bytes: int, expires: Millis) -> Form:
        """See `Uploads.presign`."""
        fields = self._signer.fields(
            self._credentials,
            key,
            content_type=content_type,
            largest_bytes=largest_bytes,
            expires=expires / 1000,
            now=self._clock.now() / 1000,
        )
        return Form(FORM_PATH, fields)

    def read(self, key: str) -> bytes:
        """See `Uploads.read`."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None

    def size(self, key: str) -> int | None:
        """See `Uploads.size`."""
        try:
            return self._path(key).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """See `Uploads.delete`."""
        self._path(key).unlink(missing_ok=True)

    # --------------------------------------------------------------------- what posts of forms do

    def admit(self, fields: Mapping[str, str]) -> Admitted:
        """Let a file in, if the fields of its form, their names in lower case, allow it.

        Raises:
            FormRefused: they do not.
        """
        for name in ("key", "policy", "x-amz-credential", "x-amz-signature"):
            if name not in fields:
                if name == "key":
                    message = "Bucket POST must contain a field named 'key'"
                    raise FormRefused(400, "InvalidArgument", message)
                raise FormRefused(403, "AccessDenied", "Access Denied")
        self._require_signature(fields)
        smallest, largest = self._evaluate(fields)
        return Admitted(fields["key"], Incoming(self._path(fields["key"]), smallest, largest))

    def _require_signature(self, fields: Mapping[str, str]) -> None:
        access_key, _, scope = fields["x-amz-credential"].partition("/")
        date = scope.partition("/")[0]
        if access_key != _ACCESS_KEY or fields.get("x-amz-algorithm") != ALGORITHM:
            message = "The AWS Access Key Id you provided does not exist in our records."
            raise FormRefused(403, "InvalidAccessKeyId", message)
        expected = self._signer.signature(self._credentials, fields["policy"], date)
        if not hmac.compare_digest(expected.encode(), fields["x-amz-signature"].encode()):
            message = (
                "The request signature we calculated does not match the signature you provided."
            )
            raise FormRefused(403, "SignatureDoesNotMatch", message)

    def _evaluate(self, fields: Mapping[str, str]) -> tuple[int, int]:
        """Hold the fields against the policy, and return the sizes that it allows.

        We have made it, its signature says so: there are conditions of two kinds and no others, a
        field has a value, the size is in a range.
        """
        policy = msgspec.json.decode(base64.b64decode(fields["policy"]), type=_Policy)
        if policy.expiration.timestamp() * 1000 <= self._clock.now():
            raise FormRefused(403, "AccessDenied", f"{_INVALID}Policy expired.")
        covered = set(_NOT_COVERED)
        sizes = (0, 0)
        for condition in policy.conditions:
            if isinstance(condition, list):
                _, smallest, largest = condition
                sizes = (smallest, largest)
                continue
            [(name, value)] = condition.items()
            given = _BUCKET if name == "bucket" else fields.get(name.lower())
            if given != value:
                failed = f'Policy Condition failed: ["eq", "${name}", "{value}"]'
                raise FormRefused(403, "AccessDenied", _INVALID + failed)
            covered.add(name.lower())
        extra = [n for n in fields if n not in covered and not n.startswith("x-ignore-")]
        if extra:
            message = f"{_INVALID}Extra input fields: {', '.join(extra)}"
            raise FormRefused(403, "AccessDenied", message)
        return sizes

    def _path(self, key: str) -> Path:
        owner = of_key(key)
        if owner is None:
            raise ValueError(f"{key!r} is no key of a file")
        return self._folder / ".".join(owner)
