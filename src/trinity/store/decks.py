"""Decks: immutable lists of titles in blobs, addressed by their content."""

from collections import OrderedDict

import msgspec

from trinity.domain import errors
from trinity.domain.ids import BlobId, TitleId
from trinity.domain.titles import Title
from trinity.ports import Blobs

_REMEMBERED = 64
_remembered: OrderedDict[BlobId, "Deck"] = OrderedDict()

_decoder = msgspec.json.Decoder(tuple[Title, ...])


class Deck(msgspec.Struct, frozen=True):
    """The titles of a room in their fixed order."""

    titles: tuple[Title, ...]
    by_id: dict[TitleId, Title]

    def title(self, title_id: TitleId) -> Title:
        """Return a title.

        Raises:
            TitleNotInDeck: it is not in the deck.
        """
        try:
            return self.by_id[title_id]
        except KeyError:
            raise errors.TitleNotInDeck from None


def store(blobs: Blobs, titles: tuple[Title, ...]) -> BlobId:
    """Store a deck and return its address."""
    return blobs.put(msgspec.json.encode(titles), content_type="application/json")


def load(blobs: Blobs, blob_id: BlobId) -> Deck:
    """Return a deck. It never changes, so the latest few are remembered in the process."""
    deck = _remembered.get(blob_id)
    if deck is None:
        titles = _decoder.decode(blobs.get(blob_id))
        deck = Deck(titles, {title.id: title for title in titles})
        _remembered[blob_id] = deck
        while len(_remembered) > _REMEMBERED:
            _remembered.popitem(last=False)
    return deck
