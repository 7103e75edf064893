"""Options as plain values: what run.json and TOML files hold, checked by name and type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, get_origin, get_type_hints

from jaxcampaign.errors import InputError


class Inputs(Protocol):
    """Everything that defines a problem: files and parameters."""

    @property
    def seed(self) -> int:
        """Seed of everything that is random."""
        ...

    def files(self) -> dict[str, Path]:
        """The input files that are given, by table."""
        ...

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON, paths made absolute."""
        ...

    def check(self) -> None:
        """Refuse combinations that make no problem."""
        ...


_Kind = TypeVar("_Kind")


def from_record(kind: type[_Kind], record: Mapping[str, Any], *, source: str) -> _Kind:
    """A dataclass of options from plain values.

    Raises:
      InputError: an unknown key, or a value of another kind.
    """
    hints = get_type_hints(kind)
    unknown = sorted(set(record) - {f.name for f in fields(kind)})  # type: ignore[arg-type]
    if unknown:
        raise InputError(
            "unknown configuration key", table=source, column=unknown[0], remedy="drop it"
        )
    return kind(
        **{
            name: checked_option(value, hints[name], source=source, name=name)
            for name, value in record.items()
        }
    )


def checked_option(value: Any, hint: Any, *, source: str, name: str) -> Any:
    """The value of an option as TOML or JSON gave it, in the type of the option.

    Args:
      value: what was read; null where the option may be None.
      hint: type of the option.
      source: the file, for errors.
      name: the option, for errors.

    Raises:
      InputError: the value is of another kind.
    """
    if get_origin(hint) is tuple:
        return _checked_list(value, get_args(hint)[0], source=source, name=name)
    kinds = get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return None
    kinds = tuple(get_origin(kind) or kind for kind in kinds if kind is not type(None))
    if all(isinstance(kind, str) for kind in kinds):  # the values of a Literal
        if value in kinds:
            return value
        wanted = f"one of {', '.join(kinds)}"
    elif Path in kinds:
        if isinstance(value, str):
            return Path(value)
        wanted = "a path"
    elif float in kinds and type(value) is int:
        return float(value)
    elif type(value) in kinds:
        return value
    else:
        wanted = " or ".join(_NAMES.get(kind, kind.__name__) for kind in kinds)
    raise InputError(
        f"must be {wanted}", table=source, column=name, value=value, remedy="correct the value"
    )


def _checked_list(value: Any, kind: Any, *, source: str, name: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(
            "must be a list",
            table=source,
            column=name,
            value=value,
            remedy="write it in square brackets",
        )
    return tuple(
        checked_option(item, get_origin(kind) or kind, source=source, name=f"{name}[{i}]")
        for i, item in enumerate(value)
    )


_NAMES = {dict: "a table of names and values"}
