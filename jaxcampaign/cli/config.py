"""Files of --config: options and rules by name, checked before anything is read."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from jaxcampaign.cli.options import Campaigns
from jaxcampaign.errors import InputError
from jaxcampaign.plans import rules
from jaxcampaign.plans.records import checked_option


def with_config(args: list[str], command: type) -> dict[str, Any]:
    """Options that `--config F` gives, checked by name and type; empty without the flag.

    Args:
      args: what stands on the command line.
      command: the command's record.

    Raises:
      InputError: the file cannot be read, or a key is unknown or holds the wrong kind of value.
    """
    path = _config_path(args)
    if path is None:
        return {}
    try:
        record = rules.plain(tomllib.loads(Path(path).read_text("utf-8")))
    except (OSError, ValueError) as fault:
        raise InputError(
            f"cannot be read: {fault}", table=path, remedy="pass a TOML file"
        ) from None
    found = {}
    if command is Campaigns:
        _check_finite(record, path)
        found = _rules(record, path)
    hints = get_type_hints(command)
    allowed = sorted(set(hints) - {"config", "constraints"})
    known = [*allowed, *rules.CONSTRAINTS] if command is Campaigns else allowed
    for key, value in record.items():
        if key in found or (found and key in rules.CONSTRAINTS):
            continue
        if key not in allowed:
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
            raise InputError("unknown configuration key", table=path, column=key, remedy=remedy)
        found[key] = _placed(checked_option(value, hints[key], source=path, name=key), key, path)
    return found


def _check_finite(value: Any, path: str, key: str = "") -> None:
    """Refuse `inf` and `nan`, which TOML knows as numbers."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_finite(item, path, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for item in value:
            _check_finite(item, path, key)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InputError(
            "must be a finite number",
            table=path,
            column=key,
            value=value,
            remedy="leave it out; of limits, an end that is left out is open: { low = 10 }",
        )


def _rules(record: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Rules as `CampaignInputs` has them, each checked here, where the file can be named."""
    constraints = []
    for kind in record:
        if kind not in rules.CONSTRAINTS:
            continue
        given = record[kind]
        if not isinstance(given, list) or not all(isinstance(item, Mapping) for item in given):
            raise InputError(
                "must be a list of tables",
                table=path,
                column=kind,
                value=given,
                remedy=f"head each with [[{kind}]]",
            )
        constraints += [{"kind": kind, **item} for item in given]
    rules.constraints_of(tuple(constraints), source=path)
    found: dict[str, Any] = {"constraints": tuple(constraints)}
    for name, kinds in (("spending", rules.SPENDING), ("risk", rules.RISKS)):
        if name in record:
            checked_option(record[name], dict[str, Any] | None, source=path, name=name)
            rules.rule(kinds, record[name], source=path, where=name)
            found[name] = record[name]
    if "where" in record:
        rules.checked_conditions(record["where"], source=path)
        found["where"] = record["where"]
    return found


def _placed(value: Any, key: str, path: str) -> Any:
    """Paths are relative to the file."""
    folder = Path(path).parent
    if isinstance(value, Path):
        return folder / value
    return str(folder / value) if key == "data" and "://" not in value else value


def _config_path(args: list[str]) -> str | None:
    for here, following in zip(args, [*args[1:], None], strict=True):
        if here == "--config":
            return following
        if here.startswith("--config="):
            return here.removeprefix("--config=")
    return None
