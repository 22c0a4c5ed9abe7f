"""What counts as a word, the same for the list when it is built and for whoever searches it."""

import unicodedata

_LETTERS = str.maketrans(
    {
        "&": " and ",
        # Letters of their own, not letters with an accent: Unicode does not decompose them, but
        # people without the key on their keyboard type what stands here.
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ł": "l",
        "ı": "i",
        "ħ": "h",
        "ə": "e",
        "ŋ": "n",
        "δ": "d",
        # The clicks of southern Africa, which nobody types.
        **dict.fromkeys("ǀǁǂǃ", ""),
    }
)


_WORD_CATEGORIES = frozenset(("Lu", "Ll", "Lt", "Lo", "Nd", "Nl", "No"))


def _pieces(chunk: str) -> list[str]:
    """Split at everything that is neither a letter nor a number."""
    kept = (c if unicodedata.category(c) in _WORD_CATEGORIES else " " for c in chunk)
    return "".join(kept).split()


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    # A modifier letter, such as the Hawaiian okina, is skipped like an accent when typed.
    return "".join(c for c in decomposed if unicodedata.category(c) not in {"Mn", "Lm"})


def words(text: str) -> list[str]:
    """Return the words of a text in lower case and without accents: `Amélie!` has one, `amelie`.

    Everything but letters and numbers separates words, whatever it may mean in a query language.
    """
    return _pieces(_folded(text))


def index_words(text: str) -> list[str]:
    """Return the words that a text is found by.

    These are its `words`, and those that punctuation holds together also as one, since people
    type `spiderman`, `mash` and `schindlers` for Spider-Man, M*A*S*H and Schindler's.
    """
    found: list[str] = []
    for chunk in _folded(text).split():
        pieces = _pieces(chunk)
        found += pieces
        if len(pieces) > 1:
            found.append("".join(pieces))
    return found
