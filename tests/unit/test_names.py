"""What people may call themselves."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.domain.errors import InvalidRequest
from trinity.domain.names import NAME_LENGTH, clean_name

FINE = {
    "Ana": "Ana",
    "  Ana   María ": "Ana María",
    "Ana\tMaría\n": "Ana María",
    "Ana Mari\u0301a": "Ana María",
    "李小龙": "李小龙",
    "محمد": "محمد",
    "नमस्ते": "नमस्ते",
    "👩\u200d👩\u200d👧": "👩\u200d👩\u200d👧",
    "❤\ufe0f": "❤\ufe0f",
    "42": "42",
    "<b>": "<b>",
}
REFUSED = [
    "",
    " ",
    "\u00a0\u2003",
    "a\u202eb",
    "a\u200bb",
    "a\x00b",
    "a\x7fb",
    "a\ufeffb",
    "a\ue000b",
    "a\u2066b",
    "\u200d",
    "\u0301",
    "a" + "\u0323" * 6,
    "\ud800",
    "x" * (NAME_LENGTH + 1),
]


@pytest.mark.parametrize("raw", FINE)
def test_names_of_all_scripts_are_welcome(raw):
    assert clean_name(raw) == FINE[raw]


@pytest.mark.parametrize("raw", REFUSED)
def test_what_cannot_be_seen_or_disturbs_its_surroundings_is_refused(raw):
    with pytest.raises(InvalidRequest) as refused:
        clean_name(raw, pointer="/who")
    assert [pointer for pointer, _ in refused.value.errors] == ["/who"]


@given(st.text(max_size=60))
def test_a_name_is_clean_short_and_stays_as_it_is(raw):
    try:
        name = clean_name(raw)
    except InvalidRequest:
        return
    assert clean_name(name) == name
    assert 1 <= len(name) <= NAME_LENGTH
    assert name == name.strip()
    assert "  " not in name
    assert unicodedata.is_normalized("NFC", name)
    for char in name:
        assert char in "\u200c\u200d" or unicodedata.category(char) not in ("Cc", "Cf", "Cs")


@given(st.integers(1, 100))
def test_a_name_may_be_as_long_as_it_is_told(longest):
    assert clean_name("x" * longest, longest=longest) == "x" * longest
    with pytest.raises(InvalidRequest):
        clean_name("x" * (longest + 1), longest=longest)
