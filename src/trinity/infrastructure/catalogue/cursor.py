"""Cursors of catalogues: the name of the source and where to go on.

They are text such as `films.1.340`. Nobody can gain anything by making one up: whatever the
numbers, what follows is a page of titles or an empty one.
"""


def encode(source: str, *position: int) -> str:
    """Return the cursor that `decode` takes apart again."""
    return ".".join((source, *map(str, position)))


def decode(cursor: str, source: str, *, numbers: int) -> tuple[int, ...]:
    """Return the position in a cursor: `numbers` numbers from 0 to 999,999,999.

    Raises:
        ValueError: it is not a cursor of this source.
    """
    name, *position = cursor.split(".")
    fits = all(n.isascii() and n.isdigit() and len(n) <= 9 for n in position)
    if name != source or len(position) != numbers or not fits:
        raise ValueError("not a cursor of this catalogue")
    return tuple(map(int, position))
