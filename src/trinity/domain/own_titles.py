"""Titles that no catalogue knows: of people's own lists."""

import hashlib

from trinity.domain.ids import TitleId
from trinity.domain.names import clean_name, clean_text
from trinity.domain.titles import Title


def own_title(
    name: str,
    *,
    subtitle: str | None = None,
    description: str | None = None,
    image_url: str | None = None,
    year: int | None = None,
    pointer: str = "/title",
) -> Title:
    """Return the title that somebody's own list names; the same words give the same title.

    Args:
        name: what it is called.
        subtitle: a second line.
        description: a longer text.
        image_url: where a picture of it is.
        year: it came out.
        pointer: where the name stands in the request.

    Raises:
        InvalidRequest: the name cannot be.
    """
    name = clean_name(name, longest=200, pointer=pointer)
    parts = [name, subtitle or ""] if year is None else [name, subtitle or "", str(year)]
    identity = "\n".join(parts).casefold().encode()
    return Title(
        id=TitleId(f"list:other:{hashlib.sha256(identity).hexdigest()[:16]}"),
        title=name,
        media_type="other",
        genres=(),
        year=year,
        subtitle=clean_text(subtitle or "") or None,
        overview=clean_text(description or "") or None,
        poster_url=image_url,
    )
