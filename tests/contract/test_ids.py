"""The contract of the `Ids` port, for every adapter."""

import base64
import re
from collections import Counter
from collections.abc import Callable

import pytest

from trinity.domain import codes
from trinity.infrastructure.system.ids import SystemIds
from trinity.ports import Ids

MANY = 100_000
ADAPTERS: dict[str, Callable[[], Ids]] = {"system": SystemIds}


@pytest.fixture(params=ADAPTERS, scope="module")
def ids(request: pytest.FixtureRequest) -> Ids:
    return ADAPTERS[request.param]()


@pytest.fixture(scope="module")
def identifiers(ids: Ids) -> list[str]:
    return [ids.new() for _ in range(MANY)]


@pytest.fixture(scope="module")
def room_codes(ids: Ids) -> list[str]:
    return [ids.code() for _ in range(20_000)]


def chi_square(counts: Counter[str], symbols: int) -> float:
    """Return how far counts are from fair ones; the number of symbols less one is expected."""
    expected = counts.total() / symbols
    seen = sum((count - expected) ** 2 / expected for count in counts.values())
    return seen + (symbols - len(counts)) * expected


# About one run in a million of a fair source is above these (30 and 31 degrees of freedom).
BOUND_31, BOUND_32 = 85.0, 87.0


def test_no_two_identifiers_are_the_same(identifiers: list[str]) -> None:
    assert len(set(identifiers)) == MANY


def test_an_identifier_has_16_small_letters_and_digits(identifiers: list[str]) -> None:
    assert [one for one in identifiers if not re.fullmatch("[0-9a-z]{16}", one)] == []


def test_every_place_of_an_identifier_holds_five_bits_of_chance(identifiers: list[str]) -> None:
    for place in range(16):
        counts = Counter(one[place] for one in identifiers)
        assert len(counts) == 32, f"at place {place}"
        assert chi_square(counts, 32) < BOUND_32, f"at place {place}"


def test_a_secret_is_url_safe_and_has_256_bits(ids: Ids) -> None:
    secrets = [ids.secret() for _ in range(2_000)]
    assert len(set(secrets)) == len(secrets)
    for secret in secrets:
        assert re.fullmatch("[A-Za-z0-9_-]{43}", secret)
        assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    bits = Counter(
        bit for s in secrets for byte in base64.urlsafe_b64decode(s + "=") for bit in f"{byte:08b}"
    )
    assert abs(bits["1"] - bits["0"]) < 5 * bits.total() ** 0.5


def test_a_code_has_the_length_and_the_symbols_of_codes(room_codes: list[str]) -> None:
    assert {len(code) for code in room_codes} == {codes.LENGTH}
    assert set("".join(room_codes)) == set(codes.ALPHABET)
    assert all(codes.normalise(code) == code for code in room_codes)


def test_every_symbol_of_a_code_is_as_likely_as_any_other(room_codes: list[str]) -> None:
    for place in range(codes.LENGTH):
        counts = Counter(code[place] for code in room_codes)
        assert chi_square(counts, len(codes.ALPHABET)) < BOUND_31, f"at place {place}"


def test_codes_rarely_meet(room_codes: list[str]) -> None:
    # 20,000 of 887 million: 0.23 pairs are to be expected.
    assert len(room_codes) - len(set(room_codes)) <= 5


def test_a_seed_is_a_number_of_32_bits_with_every_bit_in_use(ids: Ids) -> None:
    seeds = [ids.seed() for _ in range(2_000)]
    assert all(0 <= seed < 2**32 for seed in seeds)
    for bit in range(32):
        ones = sum(seed >> bit & 1 for seed in seeds)
        assert 800 < ones < 1200, f"bit {bit}"
    assert len(set(seeds)) >= 1_998
