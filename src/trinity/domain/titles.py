"""What a deck is made of, and what a catalogue can be asked for."""

from typing import Literal

import msgspec

from trinity.domain.ids import TitleId

MediaType = Literal["movie", "series", "other"]


class Title(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One card: a film, a series, or anything else that a group can vote on.

    `rating` runs from 0 to 10. `language` is an ISO 639-1 code. `providers` are the names of
    streaming services that carry the title in the region that the deck was made for.
    """

    id: TitleId
    title: str
    media_type: MediaType
    genres: tuple[str, ...]
    year: int | None = None
    subtitle: str | None = None
    overview: str | None = None
    poster_url: str | None = None
    runtime_minutes: int | None = None
    rating: float | None = None
    trailer_url: str | None = None
    providers: tuple[str, ...] = ()
    language: str | None = None
    directors: tuple[str, ...] = ()
    cast: tuple[str, ...] = ()


class TitleFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a deck should hold. An absent field does not constrain.

    Attributes:
        genres: titles of any of these, by the name or the id that `Catalogue.genres` gives,
            whatever the letter case.
        year_from: first year of release, included.
        year_to: last year of release, included.
        min_rating: 0 to 10; titles without a rating are left out when it is given.
        language: ISO 639-1 code of the original language.
        providers: streaming services, by name; only meaningful with `region`.
        region: ISO 3166-1 alpha-2 code.
    """

    media_types: tuple[MediaType, ...] = ()
    genres: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    min_rating: float | None = None
    language: str | None = None
    providers: tuple[str, ...] = ()
    region: str | None = None


class Genre(msgspec.Struct, frozen=True, rename="camel"):
    """A genre that `TitleFilter.genres` accepts.

    Attributes:
        id: lower case, words joined by hyphens: `science-fiction`.
        name: for people: `Science fiction`.
        titles: how many titles of the catalogue have it; None where the provider does not say.
    """

    id: str
    name: str
    titles: int | None = None
