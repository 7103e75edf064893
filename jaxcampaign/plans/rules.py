"""Rules of a campaign as plain data, as TOML and JSON hold them: constraints, spending, risk.

A rule is a table with the Python names: the class in small letters, and its arguments. Where Python
takes a pair of limits, a condition is a table with `low` and `high`; where limits by group have
several columns, tables stand within each other.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from jaxcampaign.errors import InputError
from jaxcampaign.problems import (
    AtLeast,
    AtMost,
    BudgetOfDeviations,
    ConcaveResponse,
    ConditionalShortfall,
    Conflict,
    Exclude,
    FactorDeviation,
    FixedPrice,
    MaxShare,
    MinimumSpend,
    Require,
    SummedDeviation,
)
from jaxcampaign.problems.campaign import Constraint
from jaxcampaign.tables.coercion import closest

CONSTRAINTS: dict[str, type] = {
    "at_most": AtMost,
    "at_least": AtLeast,
    "max_share": MaxShare,
    "require": Require,
    "exclude": Exclude,
    "conflict": Conflict,
}
SPENDING: dict[str, type] = {
    "fixed_price": FixedPrice,
    "minimum_spend": MinimumSpend,
    "concave_response": ConcaveResponse,
}
RISKS: dict[str, type] = {
    "summed_deviation": SummedDeviation,
    "factor_deviation": FactorDeviation,
    "conditional_shortfall": ConditionalShortfall,
    "budget_of_deviations": BudgetOfDeviations,
}
_LIMITS = ("low", "high")


class RuleError(Exception):
    """What is wrong with a value: a sentence, the value, a remedy; `rule` says where."""

    def __init__(self, problem: str, value: Any, remedy: str, key: str = ""):
        self.problem, self.value, self.remedy, self.key = problem, value, remedy, key
        super().__init__(problem)


def rule(
    kinds: Mapping[str, type], record: Mapping[str, Any], *, source: str, where: str = ""
) -> Any:
    """The object that a rule stands for.

    Args:
      kinds: the classes that it may be, by name.
      record: its `kind`, and arguments.
      source: the file, for errors.
      where: its place there, for errors.

    Raises:
      InputError: unknown kind or key (near matches are named), a key is missing, or a value is of
        another type.
    """
    place = where or str(record.get("kind"))
    try:
        return _built(kinds, record)
    except RuleError as error:
        raise _refusal(error, f"{place}.{error.key}" if error.key else place, source) from None


def constraints_of(records: tuple[Mapping[str, Any], ...], *, source: str) -> list[Constraint]:
    """Constraints, each found by its kind and its number among those of the kind."""
    numbers: dict[Any, int] = {}
    found = []
    for record in records:
        kind = record.get("kind")
        number = numbers[str(kind)] = numbers.get(str(kind), 0) + 1
        found.append(
            rule(CONSTRAINTS, record, source=source, where=f"{kind or 'constraint'} {number}")
        )
    return found


def conditions(value: Any, key: str = "where") -> dict[str, Any]:
    """Conditions on columns, as `enumerate_options` and constraints take them.

    Raises:
      RuleError: they are no table, or a condition is neither a value, nor a list, nor limits.
    """
    if not isinstance(value, Mapping):
        raise RuleError(
            "must be a table of columns and conditions", value, 'write { genre = "music" }', key
        )
    return {name: _condition(condition, f"{key}.{name}") for name, condition in value.items()}


def checked_conditions(value: Any, *, source: str) -> dict[str, Any]:
    """`conditions` on all options.

    Raises:
      InputError: see `conditions`.
    """
    try:
        return conditions(value)
    except RuleError as error:
        raise _refusal(error, error.key, source) from None


def columns_of(records: tuple[Mapping[str, Any], ...]) -> set[str]:
    """Columns of options that constraints name."""
    names: set[str] = set()
    for record in records:
        for key in ("where", "one", "other"):
            if isinstance(record.get(key), Mapping):
                names |= set(record[key])
        per = record.get("per") or ()
        names |= {per} if isinstance(per, str) else set(per)
        names |= {record["of"]} - {"posts", "spend"} if "of" in record else set()
    return names


def plain(value: Any) -> Any:
    """TOML's values without its dates and times, which become text."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else value


def _refusal(error: RuleError, key: str, source: str) -> InputError:
    return InputError(
        error.problem, table=source, column=key, value=error.value, remedy=error.remedy
    )


def _built(kinds: Mapping[str, type], record: Mapping[str, Any]) -> Any:
    name = record.get("kind")
    if not isinstance(name, str) or name not in kinds:
        near = closest(str(name), kinds)
        remedy = f"did you mean {' or '.join(near)}?" if near else f"choose {', '.join(kinds)}"
        raise RuleError("unknown kind", name, remedy, "kind")
    kind = kinds[name]
    known = {field.name: field for field in fields(kind)}
    values = {}
    for key, value in record.items():
        if key == "kind":
            continue
        if key not in known:
            near = closest(key, known)
            has = ", ".join(known) or "none"
            remedy = f"did you mean {' or '.join(near)}?" if near else f"its keys are: {has}"
            raise RuleError("unknown configuration key", value, remedy, key)
        values[key] = _READ[key](value, key)
    for key, field in known.items():
        if key not in values and field.default is MISSING:
            raise RuleError("a value is missing", None, f"give it as {key} = ...", key)
    return kind(**values)


def _number(value: Any, key: str) -> float:
    if type(value) not in (int, float):
        raise RuleError("must be a number", value, "correct the value", key)
    return value


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str):
        raise RuleError("must be text", value, "put it in quotation marks", key)
    return value


def _names(value: Any, key: str) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise RuleError(
        "must be a column or a list of columns", value, 'write "genre" or ["genre"]', key
    )


def _limit(value: Any, key: str) -> Any:
    if not isinstance(value, Mapping):
        if type(value) not in (int, float):
            raise RuleError(
                "must be a number, or a table of numbers by group",
                value,
                "write 2, or { music = 2 }",
                key,
            )
        return value
    limits = dict(_leaves(value, (), key))
    if len({len(name) for name in limits}) > 1:
        raise RuleError(
            "has tables of different depth",
            value,
            "give one level for each column that makes groups",
            key,
        )
    return {name[0] if len(name) == 1 else name: limit for name, limit in limits.items()}


def _leaves(
    table: Mapping[str, Any], path: tuple[str, ...], key: str
) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, name), f"{key}.{name}")
        else:
            yield (*path, name), _number(value, f"{key}.{name}")


def _condition(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        other = [name for name in value if name not in _LIMITS]
        if other or not value:
            raise RuleError(
                "limits have the keys low and high", dict(value), "write { low = 1, high = 9 }", key
            )
        return tuple(value.get(name) for name in _LIMITS)
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, str | int | float):
            raise RuleError(
                "must be a value, a list of values, or limits low and high",
                value,
                'write "music", ["music", "art"] or { low = 1 }',
                key,
            )
    return value


_READ: dict[str, Callable[[Any, str], Any]] = {
    **dict.fromkeys(("share", "days", "least", "curvature", "level", "gamma"), _number),
    **dict.fromkeys(("of", "name"), _text),
    **dict.fromkeys(("where", "one", "other"), conditions),
    "k": _limit,
    "per": _names,
}
