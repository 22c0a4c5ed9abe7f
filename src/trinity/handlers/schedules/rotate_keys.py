"""Make the next signing key."""

from trinity.bootstrap import scheduled
from trinity.ports import SigningKeys


def rotate_keys(*, keys: SigningKeys) -> None:
    """Make the key that signs next, if the newest is old enough; see `trinity.domain.signing`.

    It is called far more often than keys are made: whether it is time is told by the keys, so that
    a call too few or too many does no harm.
    """
    keys.renew()


handler = scheduled(rotate_keys)
