"""Shelves: titles that fit a wish, gathered ahead, so that a deck of them waits for nobody.

Where titles are asked of somebody else (TMDB), a deck takes dozens of questions, and there is none
while the other side is away. So each wish that decks were made by is noted for a week, and
`handlers/schedules/refresh_catalogue.py` fills its shelf anew as long. A shelf that was not filled
for a while is as good as none.

A wish is a filter and names nobody. The titles lie in blobs, as decks do, and go as they do.
"""

import msgspec

from trinity.domain.deck_selection import candidate, choose
from trinity.domain.ids import DAY, HOUR, BlobId, Millis, blob_id
from trinity.domain.titles import Title, TitleFilter
from trinity.ports import Blobs, Exists, Key, Path, Table, Update, Value
from trinity.store import decks, keys

WANTED_FOR = Millis(7 * DAY)
"""How long a shelf is filled after the last deck of its wish."""
FRESH_FOR = Millis(36 * HOUR)
"""How long decks are drawn from it: TMDB's terms allow six months, and people expect news."""
_NOTED_AGAIN_AFTER = DAY


class Shelf(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is known of a wish.

    Attributes:
        where: the wish.
        wanted_at: when somebody had it, to the day.
        filled_at: when its titles were gathered, 0 if never.
        titles: the blob that holds them.
    """

    where: TitleFilter
    wanted_at: Millis
    filled_at: Millis = Millis(0)
    titles: BlobId | None = None


def find(table: Table, where: TitleFilter) -> Shelf | None:
    """Return the shelf of a wish, None if nobody had it lately."""
    item = table.get(_key(where))
    return msgspec.convert(item, Shelf) if item else None


def draw(
    blobs: Blobs, shelf: Shelf, *, size: int, seed: int, now: Millis
) -> tuple[Title, ...] | None:
    """Return titles for a deck; None if the shelf is old, or has no choice for such a deck."""
    if shelf.titles is None or shelf.filled_at + FRESH_FOR <= now:
        return None
    try:
        shelved = decks.load(blobs, shelf.titles)
    except KeyError:  # between regions, items are faster than blobs
        return None
    if len(shelved.titles) < 2 * size:
        return None
    mixed = len(shelf.where.genres) != 1
    chosen = choose([*map(candidate, shelved.titles)], size=size, seed=seed, mixed=mixed)
    return tuple(shelved.by_id[each] for each in chosen)


def want(table: Table, where: TitleFilter, shelf: Shelf | None, now: Millis) -> None:
    """Note that a deck was made by a wish; once a day is enough."""
    if shelf is not None and now < shelf.wanted_at + _NOTED_AGAIN_AFTER:
        return
    noted: dict[Path, Value] = {
        "where": msgspec.to_builtins(_normal(where)),
        "wantedAt": now,
        "expires": (now + WANTED_FOR) // 1000,
    }
    table.update(_key(where), Update(set=noted))


def wanted(table: Table, now: Millis) -> list[Shelf]:
    """Return the shelves that are to be filled, those of the newest wishes first."""
    items = table.query(keys.CATALOGUE, prefix=keys.SHELF).items
    found = [msgspec.convert(item, Shelf) for item in items if item["expires"] * 1000 > now]
    return sorted(found, key=lambda shelf: shelf.wanted_at, reverse=True)


def fill(table: Table, blobs: Blobs, shelf: Shelf, titles: tuple[Title, ...], at: Millis) -> None:
    """Put titles on a shelf.

    Raises:
        ConditionFailed: the wish was forgotten meanwhile.
    """
    filled: dict[Path, Value] = {"titles": decks.store(blobs, titles), "filledAt": at}
    table.update(_key(shelf.where), Update(set=filled), when=Exists("PK"))


def _key(where: TitleFilter) -> Key:
    return keys.shelf(blob_id(msgspec.json.encode(_normal(where))))


def _normal(where: TitleFilter) -> TitleFilter:
    """Return the wish as everybody has it who means the same."""
    return msgspec.structs.replace(
        where,
        media_types=tuple(sorted(set(where.media_types))),
        genres=tuple(sorted({genre.casefold() for genre in where.genres})),
        providers=tuple(sorted({provider.casefold() for provider in where.providers})),
    )
