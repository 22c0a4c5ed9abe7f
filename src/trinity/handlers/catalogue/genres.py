"""The genres that decks can be made of."""

from trinity.bootstrap import operation
from trinity.common.shapes import GenrePage
from trinity.ports import Catalogue


def list_genres(*, catalogue: Catalogue) -> GenrePage:
    """Return all genres by name."""
    return GenrePage(items=catalogue.genres(), cursor=None)


handler = operation(list_genres, tagged=True)
