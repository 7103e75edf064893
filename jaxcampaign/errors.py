"""Errors that a user can act on: each names where the fault is and what would mend it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_MAX_ROWS_SHOWN = 20


class InputError(ValueError):
    """Bad input, refused before any kernel or solver runs.

    Args:
      problem: what is wrong, in one sentence without a closing full stop.
      table: canonical name of the table or argument at fault (`"billboards"`, `"demand"`).
      column: the column at fault.
      rows: the rows at fault, as a reader of the table counts them: data rows from 0, or ids.
      value: the offending value (of the first row named).
      remedy: what the user can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        table: str | None = None,
        column: str | None = None,
        rows: Iterable[Any] = (),
        value: Any = None,
        remedy: str = "",
    ):
        self.problem = problem
        self.table = table
        self.column = column
        self.rows = list(rows)
        self.value = value
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        where = [
            f"{label} {text}"
            for label, text in (
                ("table", self.table),
                ("column", self.column),
                ("row" if len(self.rows) == 1 else "rows", _listed(self.rows)),
            )
            if text
        ]
        if self.value is not None:
            where.append(f"value {self.value!r}")
        message = f"{', '.join(where)}: {self.problem}" if where else self.problem
        return f"{message}; {self.remedy}" if self.remedy else message


class MemoryLimitError(InputError):
    """An allocation that would exceed the memory limit, refused before it is made."""


class DeviceError(InputError):
    """A device that was asked for and is not there."""


def _listed(rows: list[Any]) -> str:
    shown = ", ".join(str(row) for row in rows[:_MAX_ROWS_SHOWN])
    hidden = len(rows) - _MAX_ROWS_SHOWN
    return f"{shown} and {hidden} more" if hidden > 0 else shown
