"""What people may call themselves and their rooms."""

import unicodedata

from trinity.domain import errors

NAME_LENGTH = 40
ROOM_NAME_LENGTH = 80

# Letters and marks of every script are welcome. Controls, unassigned and private characters are
# not, nor are the invisible format characters: they can reverse what stands next to a name or make
# two names look alike. The joiner (U+200D) and the variation selector stay, emoji are made with it.
_FORBIDDEN = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
_ALLOWED = frozenset("\u200c\u200d")
# The flags of some nations are a black flag and invisible tags that spell the name.
_FLAG = "\U0001f3f4"
_TAGS = frozenset(map(chr, range(0xE0020, 0xE0080)))
# Letters and symbols by their category, and yet there is nothing to see.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_MARKS_IN_A_ROW = 4


def clean_name(raw: str, *, longest: int = NAME_LENGTH, pointer: str = "/name") -> str:
    """Return the name in normal form, with single blanks.

    Raises:
        InvalidRequest: nothing visible is left, it is too long, or it holds characters that
            are invisible or would disturb the text around it.
    """
    name = " ".join(unicodedata.normalize("NFC", raw).split())
    marks = 0
    visible = in_flag = False
    for char in name:
        in_flag = char == _FLAG or (in_flag and char in _TAGS)
        if in_flag:
            visible = True
            continue
        category = unicodedata.category(char)
        if category in _FORBIDDEN and char not in _ALLOWED:
            raise _invalid(pointer, "contains characters that cannot be shown")
        marks = marks + 1 if category.startswith("M") else 0
        if marks > _MARKS_IN_A_ROW:
            raise _invalid(pointer, "stacks too many marks on one letter")
        visible = visible or (category[0] in "LNPS" and char not in _BLANK)
    if not visible:
        raise _invalid(pointer, "must not be empty")
    if len(name) > longest:
        raise _invalid(pointer, f"must have at most {longest} characters")
    return name


def clean_text(raw: str) -> str:
    """Return a longer text without what is invisible or disturbs its surroundings."""
    text = unicodedata.normalize("NFC", raw)
    kept = (c for c in text if c in "\n\u200c\u200d" or unicodedata.category(c) not in _FORBIDDEN)
    return "".join(kept).strip()


def _invalid(pointer: str, message: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(errors=[(pointer, message)])
