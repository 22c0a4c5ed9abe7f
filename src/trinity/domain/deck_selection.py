"""Which titles make a deck, and in which order: the same for every catalogue.

A catalogue lists candidates best first; what is best is its business. From these a deck is drawn
by weighted chance, so that two groups with the same wishes do not see the same fifty films, and is
laid out best first with genres taking turns.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from trinity.domain.ids import TitleId
from trinity.domain.titles import Title

_64_BITS = (1 << 64) - 1


class Candidate(msgspec.Struct, frozen=True):
    """What matters of a title here.

    Attributes:
        id: of the title.
        film: the same for all entries of one film or series, see `film_key`.
        genre: its main genre; "" if it has none.
    """

    id: TitleId
    film: str
    genre: str


def film_key(title: str, year: int | None, media_type: str) -> str:
    """Return what two entries of one film or series have in common.

    Letter case, accents, punctuation and spaces of the title do not count. Remakes have another
    year.
    """
    decomposed = unicodedata.normalize("NFKD", title.casefold())
    # A title of signs alone (the film "$") has only these to tell it by.
    folded = "".join(c for c in decomposed if c.isalnum()) or decomposed
    return f"{media_type}:{year}:{folded}"


def candidate(title: Title) -> Candidate:
    """Return the candidate that a title is. Its first genre is the main one."""
    return Candidate(
        id=title.id,
        film=film_key(title.title, title.year, title.media_type),
        genre=title.genres[0] if title.genres else "",
    )


def choose(
    candidates: Sequence[Candidate], *, size: int, seed: int, mixed: bool = True
) -> list[TitleId]:
    """Return up to `size` titles for a deck, no film twice.

    The draw is weighted sampling without replacement by Efraimidis and Spirakis ("Weighted random
    sampling with a reservoir", Information Processing Letters 97, 2006): the candidates with the
    smallest -ln(u) / w. The weight of the candidate at position i is 1 / (i + 2·size)³: the first
    `size` candidates fill about half of the deck, and those behind eight times the size would
    hardly ever be drawn.

    Args:
        candidates: best first. Eight times the size are plenty; of no more than `size`, all are
            taken.
        size: how many, at least 0.
        seed: the same seed and candidates give the same deck, everywhere.
        mixed: no genre gets more than a quarter of the deck while there is another to take. Off
            when a deck of one genre is asked for.
    """
    films: dict[str, int] = {}
    for position, each in enumerate(candidates):
        films.setdefault(each.film, position)
    flatness = 2 * size
    chances = _chances(seed)
    lots = {p: -math.log(next(chances)) * (p + flatness) ** 3 for p in films.values()}
    drawn = sorted(lots, key=lambda p: (lots[p], p))
    if mixed:
        drawn = _within_quota(candidates, drawn, quota=-(-size // 4))
    return _taking_turns([candidates[p] for p in sorted(drawn[:size])])


def _chances(seed: int) -> Iterator[float]:
    """Yield numbers in (0, 1] by SplitMix64.

    Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014. A few lines
    of integers that give the same on every machine and in every version of Python; importing
    `random` costs a cold start more than all the rest of this module.
    """
    state = seed & _64_BITS
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _64_BITS
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _64_BITS
        yield (((z ^ (z >> 31)) >> 11) + 1) / (1 << 53)


def _within_quota(
    candidates: Sequence[Candidate], drawn: Sequence[int], *, quota: int
) -> list[int]:
    """Move what exceeds the quota of its genre behind everything else."""
    taken: Counter[str] = Counter()
    within: list[int] = []
    beyond: list[int] = []
    for position in drawn:
        genre = candidates[position].genre
        taken[genre] += 1
        (within if taken[genre] <= quota else beyond).append(position)
    return within + beyond


def _taking_turns(chosen: Sequence[Candidate]) -> list[TitleId]:
    """Return the ids in this order, changed so far that no two neighbours share their genre.

    Where one genre has more than half of the titles, this is impossible; it is then every other
    one until the others are used up.
    """
    waiting: dict[str, list[tuple[int, TitleId]]] = {}
    for position in range(len(chosen) - 1, -1, -1):
        each = chosen[position]
        waiting.setdefault(each.genre, []).append((position, each.id))
    deck: list[TitleId] = []
    last: str | None = None
    for left in range(len(chosen), 0, -1):
        genres = [g for g in waiting if waiting[g] and g != last] or [last or ""]
        # A genre with more titles left than all others together has to go now, lest its titles
        # be left to the end. Otherwise the best title that is not of the genre just seen.
        largest = max(genres, key=lambda g: len(waiting[g]))
        crowded = 2 * len(waiting[largest]) > left
        last = largest if crowded else min(genres, key=lambda g: waiting[g][-1])
        deck.append(waiting[last].pop()[1])
    return deck
