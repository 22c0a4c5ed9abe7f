"""Whether the service can do its work."""

from trinity import __version__
from trinity.bootstrap import operation
from trinity.common.shapes import Health
from trinity.domain.ids import UserId
from trinity.ports import Table
from trinity.store import keys


def health(*, table: Table) -> Health:
    """Return `ok` if the table answers.

    Raises:
        Unavailable: it does not.
    """
    table.get(keys.profile(UserId("health")))
    return Health(status="ok", version=__version__, checks={"table": "ok"})


handler = operation(health)
