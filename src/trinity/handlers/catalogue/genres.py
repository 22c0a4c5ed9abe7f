"""The genres that decks can be made of."""

from trinity.bootstrap import operation
from trinity.common.shapes import Page
from trinity.domain.titles import Genre
from trinity.ports import Catalogue


class GenrePage(Page, frozen=True, kw_only=True):
    """Genres by name."""

    items: list[Genre]


def list_genres(*, catalogue: Catalogue) -> GenrePage:
    """Return all genres by name."""
    return GenrePage(items=catalogue.genres(), cursor=None)


handler = operation(list_genres, tagged=True)
