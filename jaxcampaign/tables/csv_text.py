"""CSV files as columns of text, with every malformed line found and quoted.

Nothing is parsed or guessed here: `007`, `NA` and `1e5` stay the text that they are. An empty
field is missing, a quoted empty field (`""`) is the empty text.
"""

from __future__ import annotations

import csv
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import duckdb
import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError

_SHOWN = 200
_UNDECODABLE = "\ufffd"
_NEWLINES = "\r\n"
_FAULTS = {
    "MISSING COLUMNS": "too few fields",
    "TOO MANY COLUMNS": "too many fields",
    "UNQUOTED VALUE": "an unbalanced quote",
    "INVALID ENCODING": "bytes that are not {encoding}",
    "LINE SIZE OVER MAXIMUM": "an endless line, perhaps from an unbalanced quote",
}


@dataclass(frozen=True)
class Layout:
    """How a text file is laid out.

    Attributes:
      names: column names of a file without a header line; None when its first line has them.
      delimiter: field separator.
      quote: quote character, doubled inside fields; empty when the layout has none.
      encoding: `"utf-8"` (a byte-order mark is skipped) or `"latin-1"`.
    """

    names: tuple[str, ...] | None = None
    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"

    def open(self, path: Path) -> TextIO:
        """The file as text, undecodable bytes replaced."""
        encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
        return path.open(encoding=encoding, errors="replace", newline="")

    def records(self, lines: Iterable[str]) -> Any:
        """Python's own CSV reader of this layout."""
        quoting: Any = csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE
        quote = self.quote or None
        return csv.reader(lines, delimiter=self.delimiter, quotechar=quote, quoting=quoting)


CSV = Layout()


def read_text(path: Path, *, table: str, layout: Layout = CSV) -> pd.DataFrame:
    """All columns of a delimited file as text, rows in file order.

    Args:
      path: an existing file.
      table: name of the table, for errors.
      layout: how the file is laid out.

    Raises:
      InputError: malformed lines (line number, raw text), a wrong encoding, no header.
    """
    header = _header(path, table, layout) if layout.names is None else list(layout.names)
    fields = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(header)))
    query = f"""
        SELECT * FROM read_csv(
            $path, columns = {{{fields}}}, auto_detect = false, header = {layout.names is None},
            delim = $delimiter, quote = $quote, escape = $quote, encoding = $encoding,
            nullstr = '', allow_quoted_nulls = false, store_rejects = true)
    """
    parameters = {
        "path": _literal(path),
        "delimiter": layout.delimiter,
        "quote": layout.quote,
        "encoding": layout.encoding,
    }
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        try:
            arrow = connection.sql(query, params=parameters).to_arrow_table()
        except duckdb.Error as error:
            raise InputError(
                f"{path.name} cannot be read as CSV ({str(error).splitlines()[0]})",
                table=table,
                remedy="save it as UTF-8 text with one kind of line ending throughout",
            ) from None
        rejected = connection.sql(
            "SELECT DISTINCT line_byte_position, error_type, csv_line FROM reject_errors ORDER BY 1"
        ).fetchall()
    if rejected:
        _refuse_lines(path, table, rejected, layout.encoding)
    return arrow.rename_columns(header).to_pandas()


def with_line(error: InputError, path: Path, layout: Layout = CSV) -> InputError:
    """The same error, also quoting the line of the file that its first row came from."""
    if not error.rows or not isinstance(error.rows[0], int):
        return error
    try:
        line, raw = _line_of(path, error.rows[0] + (layout.names is None), layout)
    except csv.Error:  # a field beyond the limit of Python's reader: no line, but the same fault
        return error
    return InputError(
        f"{error.problem} ({path.name}, line {line}: {_shortened(raw)!r})",
        table=error.table,
        column=error.column,
        rows=error.rows,
        value=error.value,
        remedy=error.remedy,
    )


def _header(path: Path, table: str, layout: Layout) -> list[str]:
    with path.open("rb") as file:
        if file.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            remedy = "save the file as UTF-8"
            raise InputError(f"{path.name} is UTF-16 text", table=table, remedy=remedy)
    try:
        with layout.open(path) as file:
            header: list[str] = next(layout.records(file), [])
    except csv.Error as error:
        raise InputError(f"{path.name}, line 1 is no header ({error})", table=table) from None
    if any(_UNDECODABLE in name for name in header):
        remedy = "save the file as UTF-8"
        raise InputError(f"{path.name}, line 1 is not UTF-8 text", table=table, remedy=remedy)
    if not header:
        remedy = "begin the file with the column names"
        raise InputError(f"{path.name} has no header line", table=table, remedy=remedy)
    for other in (";", "\t", "|"):
        if len(header) == 1 and other in header[0]:
            remedy = f"separate fields by {layout.delimiter!r}"
            raise InputError(f"{path.name} is separated by {other!r}", table=table, remedy=remedy)
    return header


def _refuse_lines(
    path: Path, table: str, rejected: list[tuple[int, str, str]], encoding: str
) -> None:
    data = np.memmap(path, dtype=np.uint8, mode="r")
    starts = []
    for position, _, _ in rejected:
        start = position - 1  # counted from 1, and sometimes from the blank lines before
        while chr(data[start]) in _NEWLINES:
            start += 1
        starts.append(start)
    lines = (np.searchsorted(np.flatnonzero(data == ord("\n")), starts) + 1).tolist()
    _, kind, raw = rejected[0]
    raw = _shortened(raw.lstrip(_NEWLINES))
    fault = _FAULTS.get(kind, kind.lower()).format(encoding=encoding.upper())
    raise InputError(
        f"malformed: {path.name}, line {lines[0]} has {fault}: {raw!r}",
        table=table,
        rows=[f"line {line}" for line in dict.fromkeys(lines)],
        remedy="mend these lines",
    )


def _line_of(path: Path, record: int, layout: Layout) -> tuple[int, str]:
    """Number (from 1) and raw text of the line where a record (from 0) ends."""
    read = deque([""], maxlen=1)

    def remembered(line: str) -> str:
        read.append(line)
        return line

    with layout.open(path) as file:
        reader = layout.records(map(remembered, file))
        records = filter(None, reader)  # blank lines are no records
        next(itertools.islice(records, record, None), None)
        return reader.line_num, read[0].rstrip(_NEWLINES)


def _literal(path: Path) -> str:
    """The absolute path, its pattern characters escaped: this file, not all that match."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path.absolute()))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
