"""Lists in text files: what people's spreadsheets and exports make of a deck."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trinity.domain.errors import InvalidRequest
from trinity.domain.lists import MOST_ROWS, parse
from trinity.domain.names import clean_name
from trinity.domain.uploads import LineError, UnusableFile


def names(content: bytes | str, *, plain: bool = False) -> list[str]:
    content = content.encode() if isinstance(content, str) else content
    return [title.title for title in parse(content, plain=plain)]


def refusal(content: bytes | str, *, plain: bool = False) -> UnusableFile:
    content = content.encode() if isinstance(content, str) else content
    with pytest.raises(UnusableFile) as caught:
        parse(content, plain=plain)
    return caught.value


# -------------------------------------------------------------------------------------- what it is


def test_each_line_of_a_plain_text_is_an_entry_whatever_is_in_it() -> None:
    text = 'The Good, the Bad and the Ugly\n"Heat"; 1995\n\n  Füße | Hände  \nTab\tbed\n'
    assert names(text, plain=True) == [
        "The Good, the Bad and the Ugly",
        '"Heat"; 1995',
        "Füße | Hände",
        "Tab bed",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_system(end: str) -> None:
    assert names(end.join(["Pizza", "Ramen", ""]), plain=True) == ["Pizza", "Ramen"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("plain", [False, True])
def test_a_header_tells_what_is_what_and_how_it_is_delimited(delimiter: str, plain: bool) -> None:
    rows = [
        ["Position", "Year", "Name", "Poster URL", "Notes", "Director"],
        ["1", "1995", 'He said "Heat"', "https://img.example/1", f"a{delimiter}b", "Mann"],
        ["2", "", "Alien", "", "", ""],
    ]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    heat, alien = parse(file.getvalue().encode(), plain=plain)
    assert (heat.title, heat.year, heat.poster_url) == (
        'He said "Heat"',
        1995,
        "https://img.example/1",
    )
    notes = f"a{delimiter}b".replace("\t", "")  # there is nothing to see in a tab
    assert (heat.overview, heat.subtitle) == (notes, "Mann")
    assert (alien.title, alien.year, alien.poster_url, alien.overview) == (
        "Alien",
        None,
        None,
        None,
    )


def test_of_two_columns_for_one_thing_the_first_counts() -> None:
    (title,) = parse(b"Const,Title,Original Title,Year\ntt1,Seven,Se7en,1995\n", plain=False)
    assert (title.title, title.year) == ("Seven", 1995)


def test_without_a_header_a_delimiter_is_one_if_it_cuts_all_lines_alike() -> None:
    both = parse(b"Heat,1995\nAlien,1979\n", plain=False)
    assert [(t.title, t.year) for t in both] == [("Heat", 1995), ("Alien", 1979)]
    other = parse(b"Ramen;spicy\nPizza;1995\n", plain=False)
    assert [(t.title, t.subtitle) for t in other] == [("Ramen", "spicy"), ("Pizza", "1995")]
    assert names("The Good, the Bad and the Ugly\nHeat\n") == [
        "The Good, the Bad and the Ugly",
        "Heat",
    ]


def test_cells_in_quotation_marks_hold_delimiters_marks_and_lines() -> None:
    text = 'Title,Notes\n"Good, the ""Bad""","first\nsecond"\nHeat,\n'
    good, heat = parse(text.encode(), plain=False)
    assert (good.title, good.overview) == ('Good, the "Bad"', "first\nsecond")
    assert heat.title == "Heat"


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("cp1252", b""),
    ],
)
def test_an_encoding_is_told_by_its_mark_and_windows_is_the_last_resort(
    encoding: str, mark: bytes
) -> None:
    text = "Title;Year\r\nFüße – „nackt“ €;1995\r\n"
    (title,) = parse(mark + text.encode(encoding), plain=False)
    assert (title.title, title.year) == ("Füße – „nackt“ €", 1995)


def test_what_is_there_twice_counts_once_but_not_two_films_of_one_name() -> None:
    text = "Title,Year\nDune,1984\nDune,2021\ndune , 1984\nDune,2021\n"
    assert [(t.title, t.year) for t in parse(text.encode(), plain=False)] == [
        ("Dune", 1984),
        ("Dune", 2021),
    ]


def test_the_first_year_of_a_span_counts() -> None:
    (title,) = parse("Title,Year\nBreaking Bad,2008–2013\n".encode(), plain=False)
    assert title.year == 2008


# ----------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Heat,soon,", "has “soon” where a year belongs"),
        ("Heat,19999,", "has “19999” where a year belongs"),
        (",1995,", "has no title"),
        ("Heat,1995,ftp://x.example", "has an image that is no http or https address"),
        (
            "Heat,1995,https://x.example,more",
            "has 4 cells where others have 3: put quotation marks",
        ),
        ("Heat,1995,javascript:alert(1)", "has an image that is no http or https address"),
        (f"{'x' * 201},1995,", "has more than 200 characters in the title"),
        (f"Heat,1995,https://{'x' * 2048}", "has more than 2048 characters in the image"),
        ("He\u202eat,1995,", "has a title that contains characters that cannot be shown"),
        ("\u2800,1995,", "has a title that must not be empty"),
    ],
)
def test_an_error_names_its_line(row: str, message: str) -> None:
    wrong = refusal(f'Title,Year,Image\n"Ali\nen",1979,\n\n{row}\nJaws,1975,\n')
    (error,) = wrong.errors
    assert error.line == 5  # as an editor counts: the header, two of a cell, a blank one
    assert error.message.startswith(message)
    assert wrong.reason == f"Line 5 {error.message}."


def test_all_lines_that_are_wrong_are_told_up_to_twenty() -> None:
    wrong = refusal("Title,Year\n" + "Heat,x\n" * 30)
    assert [error.line for error in wrong.errors] == list(range(2, 22))
    assert wrong.reason == "Line 2 has “x” where a year belongs. 29 more lines are wrong."


def test_a_quotation_mark_that_is_not_closed_is_told_with_the_line_that_it_is_on() -> None:
    wrong = refusal('Title,Year\nHeat,1995\n"Alien,1979\nJaws,1975\n')
    assert wrong.errors == (
        LineError(3, "has a quotation mark that does not belong there, or lacks one"),
    )


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n", b"Title,Year\n", b"\xef\xbb\xbf"])
def test_an_empty_list_is_refused(content: bytes) -> None:
    assert refusal(content).reason == "This list is empty. Write one entry on each line."


def test_five_thousand_rows_are_taken_and_one_more_is_not() -> None:
    rows = "".join(f"Film {n},1995\n" for n in range(MOST_ROWS))
    for header in ("", "Title,Year\n"):
        assert len(names(header + rows)) == MOST_ROWS
        assert "more than 5,000" in refusal(header + rows + "One more,1995\n").reason
    lines = "\n".join(f"Film {n}" for n in range(MOST_ROWS + 1))
    assert "more than 5,000" in refusal(lines, plain=True).reason


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04\x14\x00\x06\x00",  # what Excel writes
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"Heat\0Alien",
        b"\xff\xfeH\0e",  # half a character
        b"\xef\xbb\xbf\xff\xff",
        b"\x81\x8d\x8f",  # nothing in cp1252
    ],
)
def test_what_is_no_text_is_refused_with_advice(content: bytes) -> None:
    for plain in (True, False):
        assert "Save the list as CSV" in refusal(content, plain=plain).reason


# --------------------------------------------------------------------------------------- all others


def parse_or_refuse(content: bytes, *, plain: bool) -> None:
    try:
        titles = parse(content, plain=plain)
    except UnusableFile:
        return
    assert titles
    assert len({title.id for title in titles}) == len(titles)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_do_more_than_be_refused(content: bytes, plain: bool) -> None:
    parse_or_refuse(content, plain=plain)


PIECES = ['"', ",", ";", "\t", "\n", "\r", "|", "T", "title", "é", "1", " ", "1999", "https://"]


@given(
    st.lists(st.sampled_from(PIECES)).map("".join),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-16", "cp1252"]),
)
def test_no_text_does_more_than_be_refused(text: str, plain: bool, encoding: str) -> None:
    parse_or_refuse(text.encode(encoding), plain=plain)


def _is_name(text: str) -> bool:
    try:
        return clean_name(text, longest=200) == text
    except InvalidRequest:
        return False


NAMES = st.lists(st.text(min_size=1, max_size=30).filter(_is_name), min_size=1, max_size=20)


@given(NAMES, st.sampled_from(",;\t|"), st.sampled_from(["utf-8-sig", "utf-16"]))
def test_what_a_csv_writer_writes_is_read_as_it_was(
    titles: list[str], delimiter: str, encoding: str
) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["Title", "Year"], *([title, "1995"] for title in titles)])
    read = [t.title for t in parse(file.getvalue().encode(encoding), plain=False)]
    assert {t.casefold() for t in read} == {t.casefold() for t in titles}
