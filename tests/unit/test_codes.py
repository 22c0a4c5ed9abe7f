"""Codes that are read out across a table."""

from hypothesis import given
from hypothesis import strategies as st

from trinity.domain.codes import ALPHABET, LENGTH, normalise
from trinity.infrastructure.system.ids import SystemIds

CODES = st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH)


@given(CODES)
def test_a_code_is_found_however_it_is_typed(code):
    assert normalise(code) == code
    assert normalise(code.lower()) == code
    assert normalise(f" {code[:3]}-{code[3:]} \n") == code
    assert normalise("  ".join(code)) == code


@given(st.text())
def test_what_is_taken_for_a_code_is_one(typed):
    code = normalise(typed)
    if code is not None:
        assert len(code) == LENGTH
        assert set(code) <= set(ALPHABET)
        assert normalise(code) == code


@given(CODES, st.integers(0, LENGTH - 1), st.characters().filter(lambda c: c not in " -"))
def test_a_character_that_no_code_has_makes_it_none(code, place, char):
    if char.upper() not in ALPHABET and not char.isspace():
        assert normalise(code[:place] + char + code[place + 1 :]) is None


@given(CODES, st.integers(1, LENGTH))
def test_a_part_of_a_code_is_none(code, missing):
    assert normalise(code[:-missing]) is None
    assert normalise(code + code[0]) is None


def test_no_two_symbols_look_alike():
    assert not set("01OIL") & set(ALPHABET)
    assert len(set(ALPHABET)) == len(ALPHABET) == 31


def test_drawn_codes_are_codes_and_use_every_symbol():
    ids = SystemIds()
    drawn = [ids.code() for _ in range(500)]
    assert all(normalise(code) == code for code in drawn)
    assert set("".join(drawn)) == set(ALPHABET)  # misses one with a chance of 31 * (30/31)^3000
