"""Whether the service can do its work."""

from trinity import __version__
from trinity.bootstrap import operation
from trinity.common.shapes import Shape
from trinity.domain.ids import UserId
from trinity.ports import Cache, Table
from trinity.store import keys


class Health(Shape, frozen=True, kw_only=True):
    """Whether the service can do its work, and each thing that it needs."""

    status: str
    version: str
    checks: dict[str, str]


def health(*, table: Table, cache: Cache) -> Health:
    """Return `ok`, or `degraded` while something is missing that the service can do without.

    Raises:
        Unavailable: the table does not answer.
    """
    table.get(keys.profile(UserId("health")))
    cached = cache.working()
    return Health(
        status="ok" if cached else "degraded",
        version=__version__,
        checks={"table": "ok", "cache": "ok" if cached else "down"},
    )


handler = operation(health)
