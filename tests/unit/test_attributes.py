"""The codec between plain items and DynamoDB's typed attribute values."""

import math
from decimal import Decimal

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from trinity.common import attributes

INTEGERS = st.integers(min_value=-(10**38) + 1, max_value=10**38 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda x: x == 0 or 1e-130 <= abs(x) <= 9.9e125
)


def values(numbers):
    return st.recursive(
        st.none() | st.booleans() | st.text() | numbers,
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )


ITEMS = st.dictionaries(st.text(), values(INTEGERS | FLOATS), max_size=5)


def same(left, right):
    """Equal, and bools are bools: in Python `True == 1`."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def normalised(attribute):
    """Write numbers as DynamoDB gives them back: no exponent, no zeros after the point."""
    [(kind, value)] = attribute.items()
    if kind == "N":
        text = format(Decimal(value), "f")
        value = text.rstrip("0").rstrip(".") if "." in text else text
    if kind == "L":
        value = [normalised(part) for part in value]
    if kind == "M":
        value = {name: normalised(part) for name, part in value.items()}
    return {kind: value}


@given(ITEMS)
def test_an_item_comes_back_as_it_went_in(item):
    assert same(attributes.decode_item(attributes.encode_item(item)), item)


@given(ITEMS)
def test_an_item_that_is_typed_when_it_is_looked_at_looks_the_same_and_comes_back_at_once(item):
    typed, encoded = attributes.TypedItem(item), attributes.encode_item(item)
    assert dict(typed) == encoded
    assert typed == encoded
    assert len(typed) == len(encoded)
    assert all(name in typed and typed.get(name) == encoded[name] for name in encoded)
    assert ("?" in typed) == ("?" in encoded)
    assert attributes.decode_item(typed) is item


@given(ITEMS)
def test_an_item_comes_back_from_the_numbers_that_dynamodb_returns(item):
    encoded = attributes.encode_item(item)
    returned = {name: normalised(attribute) for name, attribute in encoded.items()}
    assert same(attributes.decode_item(returned), item)


@given(values(INTEGERS))
def test_a_value_is_encoded_as_boto3_does(value):
    assert attributes.encode(value) == TypeSerializer().serialize(value)


@given(values(INTEGERS))
def test_a_value_is_decoded_as_boto3_does(value):
    encoded = TypeSerializer().serialize(value)
    assert same(attributes.decode(encoded), TypeDeserializer().deserialize(encoded))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-7", -7),
        ("9" * 38, int("9" * 38)),
        ("-" + "9" * 38, -int("9" * 38)),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("1" + "0" * 38, 1e38),
        ("-1" + "0" * 38, -1e38),
    ],
)
def test_a_point_an_exponent_or_a_39th_digit_makes_a_float(text, number):
    decoded = attributes.decode({"N": text})
    assert decoded == number
    assert type(decoded) is type(number)


@pytest.mark.parametrize(
    "number", [10**38, -(10**38), math.nan, math.inf, -math.inf, 1e126, -1e126, 1e-131, 5e-324]
)
def test_a_number_out_of_bounds_is_refused(number):
    with pytest.raises(ValueError, match=r"38 digits|out of bounds"):
        attributes.encode({"deep": [number]})


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), Decimal(1), {1: "key"}])
def test_a_value_of_another_type_is_refused(value):
    with pytest.raises(TypeError):
        attributes.encode(value)


@pytest.mark.parametrize("attribute", [{"B": "AA=="}, {"SS": ["a"]}, {"NS": ["1"]}])
def test_an_attribute_of_an_unused_type_is_refused(attribute):
    with pytest.raises(ValueError, match="unknown type"):
        attributes.decode(attribute)
