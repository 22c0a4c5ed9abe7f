"""Look for titles."""

from typing import Annotated

from msgspec import Meta

from trinity.bootstrap import operation
from trinity.common import cursors
from trinity.common.requests import Request
from trinity.common.shapes import TitlesPage
from trinity.domain.titles import TitleFilter
from trinity.ports import Catalogue, Clock, Secrets

_NAMES = {"year_from": "from", "year_to": "to"}  # `from` is a word of Python's


class SearchTitles(Request, frozen=True, kw_only=True, rename=_NAMES):
    """What to look for; everything is optional."""

    q: Annotated[str, Meta(max_length=200)] = ""
    genre: Annotated[str, Meta(max_length=60)] | None = None
    year_from: Annotated[int, Meta(ge=1870, le=2100)] | None = None
    year_to: Annotated[int, Meta(ge=1870, le=2100)] | None = None
    cursor: Annotated[str, Meta(max_length=2048)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


def search_titles(
    request: SearchTitles, *, catalogue: Catalogue, secrets: Secrets, clock: Clock
) -> TitlesPage:
    """Return titles that match the text, best first; without a text all, best known first.

    Raises:
        InvalidRequest: the cursor is not one of this search.
        Gone: the cursor has expired.
    """
    now, key = clock.now(), secrets.cursor_key()
    scope = f"titles:{request.q}:{request.genre}:{request.year_from}:{request.year_to}"
    where = TitleFilter(
        genres=(request.genre,) if request.genre else (),
        year_from=request.year_from,
        year_to=request.year_to,
    )
    page = catalogue.search(
        request.q,
        where,
        cursor=cursors.read(key, scope, request.cursor, now) if request.cursor else None,
        limit=request.limit,
    )
    return TitlesPage(
        items=page.titles, cursor=page.cursor and cursors.write(key, scope, page.cursor, now)
    )


handler = operation(search_titles)
