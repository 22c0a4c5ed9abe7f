"""Cursors of lists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.common import cursors
from trinity.domain.errors import Gone, InvalidRequest
from trinity.domain.ids import DAY

KEY = b"k" * 32
NOW = 1_800_000_000_000
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
CURSOR = cursors.write(KEY, "rooms:ana", "ROOM#42", NOW)


@given(st.text(min_size=1), st.text())
def test_a_cursor_leads_back_to_where_the_list_broke_off(scope, position):
    cursor = cursors.write(KEY, scope, position, NOW)
    assert cursors.read(KEY, scope, cursor, NOW) == position
    assert set(cursor) <= set(ALPHABET)


@pytest.mark.parametrize("scope", ["rooms:eve", "matches:ana", "rooms:an", "rooms:ana\0", ""])
def test_a_cursor_is_good_for_no_other_list(scope):
    with pytest.raises(InvalidRequest):
        cursors.read(KEY, scope, CURSOR, NOW)


def test_a_cursor_of_another_key_is_refused():
    with pytest.raises(InvalidRequest):
        cursors.read(b"x" * 32, "rooms:ana", CURSOR, NOW)


@pytest.mark.parametrize("place", range(len(CURSOR)))
def test_no_change_of_a_character_leads_anywhere_else(place):
    for char in ALPHABET:
        forged = CURSOR[:place] + char + CURSOR[place + 1 :]
        try:
            assert cursors.read(KEY, "rooms:ana", forged, NOW) == "ROOM#42"
        except InvalidRequest:
            continue
        # Only the bits that base64 leaves unused may differ.
        assert forged == CURSOR or place == len(CURSOR) - 1


@given(st.text(max_size=200))
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(InvalidRequest):
        cursors.read(KEY, "rooms:ana", text, NOW)


def test_a_cursor_is_good_for_a_day():
    assert cursors.read(KEY, "rooms:ana", CURSOR, NOW + DAY) == "ROOM#42"
    with pytest.raises(Gone):
        cursors.read(KEY, "rooms:ana", CURSOR, NOW + DAY + 1)
