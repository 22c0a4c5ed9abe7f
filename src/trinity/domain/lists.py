"""Lists in text files: from bytes to the titles of a deck.

Spreadsheets and websites write them in many ways. What can be told without guessing is told: the
encoding by its mark, the delimiter by the header. Where nothing tells, a file is taken for what it
most likely is: one entry on each line.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from trinity.domain.errors import InvalidRequest
from trinity.domain.ids import TitleId
from trinity.domain.own_titles import own_title
from trinity.domain.titles import Title
from trinity.domain.uploads import LineError, UnusableFile

MOST_ROWS = 5_000
_MOST_ERRORS = 20
_DELIMITERS = "\t;,|"
_LONGEST = {"title": 200, "subtitle": 200, "description": 2000, "image": 2048}
_LINES_TO_GUESS_BY = 200

# What columns are called, in lower case, by people, Letterboxd, IMDb, Trakt and Goodreads.
_COLUMNS = {
    "title": "title",
    "name": "title",
    "film": "title",
    "movie": "title",
    "item": "title",
    "entry": "title",
    "titel": "title",
    "titre": "title",
    "título": "title",
    "titolo": "title",
    "subtitle": "subtitle",
    "author": "subtitle",
    "director": "subtitle",
    "directors": "subtitle",
    "year": "year",
    "jahr": "year",
    "année": "year",
    "año": "year",
    "year published": "year",
    "description": "description",
    "notes": "description",
    "overview": "description",
    "plot": "description",
    "image": "image",
    "image url": "image",
    "imageurl": "image",
    "poster": "image",
    "poster url": "image",
    "posterurl": "image",
}


class _Row(NamedTuple):
    """A row and the line that it begins on."""

    line: int
    cells: list[str]


def parse(content: bytes, *, plain: bool) -> tuple[Title, ...]:
    """Return what a file lists, each entry once, in the order of the file.

    Args:
        content: of the file.
        plain: the file calls itself plain text: unless it has a header, a line is an entry,
            whatever is in it.

    Raises:
        UnusableFile: it is no text or no list, it is too long, or some lines cannot be.
    """
    text = _text(content)
    header, delimiter = _header(text)
    if header is None and plain:
        rows = ([line] for line in text.split("\n"))
        listed = _filled(_Row(line, cells) for line, cells in enumerate(rows, 1))
        return _titles(listed, ["title"])
    listed = _filled(_rows(text, delimiter or _shared_delimiter(text)))
    return _titles(listed[1:], header) if header is not None else _titles(listed, _columns(listed))


# ------------------------------------------------------------------------------------ characters


def _text(content: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            candidates = [encoding]
            break
    else:
        # cp1252 takes nearly every byte: whatever is left over from before Unicode, in the West.
        candidates = ["utf-8", "cp1252"]
    for encoding in candidates:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise UnusableFile(
        "This file is not a text. Save the list as CSV or as plain text and send it again."
    )


# ------------------------------------------------------------------------------------------ rows


def _header(text: str) -> tuple[list[str] | None, str | None]:
    """Return what the columns are, if the first line says it, and the delimiter that it shows."""
    first = next(_lines(text), "")
    for delimiter in _DELIMITERS:
        columns = [_column(cell) for cell in _cells(first, delimiter)]
        if "title" in columns:
            # Of two columns for one thing the first counts: IMDb has Title and Original Title.
            return [c if c not in columns[:n] else "" for n, c in enumerate(columns)], delimiter
    return None, None


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.split("\n") if line.strip())


def _column(cell: str) -> str:
    return _COLUMNS.get(" ".join(cell.replace("_", " ").lower().split()), "")


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _shared_delimiter(text: str) -> str:
    """Return the delimiter that cuts every line into equally many cells; a tab if none does."""
    lines = list(islice(_lines(text), _LINES_TO_GUESS_BY))
    for delimiter in _DELIMITERS:
        counts = {len(_cells(line, delimiter)) for line in lines}
        if len(counts) == 1 and max(counts) > 1:
            return delimiter
    return _DELIMITERS[0]


def _rows(text: str, delimiter: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            yield _Row(line, cells)
            line = reader.line_num + 1
    except csv.Error:
        message = "has a quotation mark that does not belong there, or lacks one"
        errors = [LineError(line=line, message=message)]
        raise UnusableFile(f"Line {line} {message}.", errors) from None


def _filled(rows: Iterable[_Row]) -> list[_Row]:
    """Return those rows that are not blank."""
    filled = (row for row in rows if any(cell.strip() for cell in row.cells))
    return list(islice(filled, MOST_ROWS + 2))  # a header, and one too many


def _columns(rows: Sequence[_Row]) -> list[str]:
    """Return what the columns are where nobody says it: the first one is the title."""
    second = [row.cells[1].strip() for row in rows if len(row.cells) > 1]
    columns = ["title", "year" if second and all(map(_year, second)) else "subtitle"]
    return columns + [""] * max(len(row.cells) - 2 for row in rows) if rows else columns


def _year(cell: str) -> int | None:
    """Return the year, the first one of a span like 2008–2013; None if it is none."""
    found = re.match(r"([12][0-9]{3})(?![0-9])", cell)
    return int(found[1]) if found else None


# ---------------------------------------------------------------------------------------- titles


def _titles(rows: Sequence[_Row], columns: Sequence[str]) -> tuple[Title, ...]:
    if not rows:
        raise UnusableFile("This list is empty. Write one entry on each line.")
    if len(rows) > MOST_ROWS:
        raise UnusableFile(f"This list has more than {MOST_ROWS:,} entries.")
    by_id: dict[TitleId, Title] = {}
    wrong: list[LineError] = []
    for row in rows:
        try:
            title = _title(row, columns)
        except InvalidRequest as refusal:  # of a name
            wrong.append(LineError(row.line, f"has a title that {refusal.errors[0][1]}"))
        except ValueError as error:
            wrong.append(LineError(row.line, str(error)))
        else:
            by_id.setdefault(title.id, title)
    if wrong:
        first = f"Line {wrong[0].line} {wrong[0].message}."
        raise UnusableFile(first + _more(len(wrong) - 1), wrong[:_MOST_ERRORS])
    return tuple(by_id.values())


def _more(wrong: int) -> str:
    if wrong == 0:
        return ""
    return " One more line is wrong." if wrong == 1 else f" {wrong} more lines are wrong."


def _title(row: _Row, columns: Sequence[str]) -> Title:
    """Return the title of a row.

    Raises:
        ValueError: what is wrong with it.
        InvalidRequest: the name cannot be.
    """
    if len(row.cells) > len(columns) > 1:
        raise ValueError(
            f"has {len(row.cells)} cells where others have {len(columns)}:"
            " put quotation marks around what contains a delimiter"
        )
    cells = {c: cell.strip() for c, cell in zip(columns, row.cells, strict=False) if cell.strip()}
    if "title" not in cells:
        raise ValueError("has no title")
    for column, longest in _LONGEST.items():
        if len(cells.get(column, "")) > longest:
            raise ValueError(f"has more than {longest} characters in the {column}")
    year = _year(cells["year"]) if "year" in cells else None
    if "year" in cells and year is None:
        raise ValueError(f"has “{cells['year'][:20]}” where a year belongs")
    image = cells.get("image")
    if image is not None and not image.startswith(("https://", "http://")):
        raise ValueError("has an image that is no http or https address")
    return own_title(
        cells["title"],
        subtitle=cells.get("subtitle"),
        description=cells.get("description"),
        image_url=image,
        year=year,
    )
