"""From a configuration to a campaign problem, alike for making and for rechecking a plan."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness import Effectiveness
from jaxcampaign.errors import InputError
from jaxcampaign.plans import rules
from jaxcampaign.plans.predicting import PREDICTED, predict_options
from jaxcampaign.plans.records import from_record
from jaxcampaign.problems import Campaign
from jaxcampaign.problems.campaign.grouping import matching
from jaxcampaign.tables import OPTION_KEY, read_table, validate

OPTIONS = "options.parquet"
"""Name of the table of predictions in the folder of a plan that was made from a database."""

_MEMBER = re.compile(r"member_\d+")


@dataclass(frozen=True)
class CampaignInputs:
    """Everything that defines a campaign problem: data and parameters.

    Attributes:
      data: Campaign tables: a folder, a DuckDB file or a postgresql:// URL; what posts will bring
        is predicted.
      effectiveness: Ready-made influencer_id, content_type, event_id, offset_hours, price, mean,
        std and columns that constraints name (posted_at, genre, ...; member_0, member_1, ... for
        risk over scenarios), instead of data.
      budget: Most money to spend; without it there is no limit.
      risk_aversion: What a unit of risk takes off the value of a plan.
      events: Only these event ids.
      target: The outcome that is predicted; what mean and std are of.
      count: The outcome is a count, such as impressions.
      model: The recommended model of what posts bring, or a quick one for a first look.
      until: Planning cut-off (a naive time is UTC): nothing known later is learned from, nothing
        before it is planned. After everything that is known where left out.
      seed: Seed of everything that is random.
      constraints: Rules as plain data, each with its kind: at_most, at_least, max_share, require,
        exclude, conflict.
      spending: What money does: kind fixed_price, minimum_spend or concave_response.
      risk: How risk is measured: kind summed_deviation, factor_deviation, conditional_shortfall or
        budget_of_deviations.
      where: Only options that meet these conditions.
    """

    data: str | None = None
    effectiveness: Path | None = None
    budget: float | None = None
    risk_aversion: float = 0.0
    events: tuple[str, ...] = ()
    target: str | None = None
    count: bool = False
    model: Literal["recommended", "quick"] = "recommended"
    until: str | None = None
    seed: int = 0
    constraints: tuple[dict[str, Any], ...] = ()
    spending: dict[str, Any] | None = None
    risk: dict[str, Any] | None = None
    where: dict[str, Any] | None = None

    def files(self) -> dict[str, Path]:
        """The table that the problem is built from; none where the plan folder holds it."""
        return {} if self.effectiveness is None else {"effectiveness": Path(self.effectiveness)}

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON, paths made absolute, a password left out."""
        record = asdict(self) | {"events": list(self.events), "constraints": list(self.constraints)}
        if self.data is not None:
            record["data"] = _located(self.data)
        return record | {name: str(path.resolve()) for name, path in self.files().items()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> CampaignInputs:
        """The inverse of `to_record`."""
        return from_record(cls, record, source="run.json")

    def check(self) -> None:
        """Refuse what makes no problem, as far as that can be seen without the data.

        Raises:
          InputError: options that do not belong together, or a rule that is none.
        """
        if (self.data is None) == (self.effectiveness is None):
            raise InputError(
                "options come either from a database or from a table of effectiveness",
                table="inputs",
                remedy="pass --data PATH_OR_URL, or --effectiveness F",
            )
        if self.effectiveness is not None and (self.until is not None or self.count):
            name = "count" if self.until is None else "until"
            raise InputError(
                "belongs to prediction, and the table of effectiveness is predicted already",
                table=name,
                value=getattr(self, name),
                remedy="leave it out, or pass --data",
            )
        self.rules()
        self.filters()

    def rules(self, source: str = "plan") -> dict[str, Any]:
        """Arguments of `Campaign` beside its options.

        Args:
          source: where the rules stand, for errors.
        """
        found = {
            name: rules.rule(kinds, record, source=source, where=name)
            for name, kinds, record in (
                ("spending", rules.SPENDING, self.spending),
                ("risk", rules.RISKS, self.risk),
            )
            if record is not None
        }
        return found | {
            "budget": self.budget,
            "risk_aversion": self.risk_aversion,
            "constraints": rules.constraints_of(self.constraints, source=source),
        }

    def filters(self, source: str = "plan") -> dict[str, Any]:
        """Conditions that all options meet, with those on events."""
        found = rules.checked_conditions(self.where or {}, source=source)
        return found | ({"event_id": list(self.events)} if self.events else {})


@dataclass(frozen=True, eq=False)
class LoadedCampaign:
    """A campaign problem with what has to be kept to build it again.

    Attributes:
      problem: what is asked.
      tables: tables for the plan folder, by file name; empty where an input file has it all.
    """

    problem: Campaign
    tables: dict[str, pd.DataFrame]


def load_campaign(
    inputs: CampaignInputs, *, folder: Path | None = None, key: Any = None
) -> LoadedCampaign:
    """Read or predict the options, state the problem.

    Args:
      inputs: what is asked.
      folder: a plan folder whose table of predictions is read; nothing is predicted again.
      key: a JAX key, source of randomness of a model that is fitted; consumed.

    Raises:
      InputError: anything that is wrong with the input, before any solver runs.
    """
    inputs.check()
    if inputs.effectiveness is not None:
        options = _in_order(read_table("effectiveness", inputs.effectiveness))
        options = options[matching(options, inputs.filters())].reset_index(drop=True)
        return LoadedCampaign(_campaign(inputs, options), {})
    if folder is not None:
        options = read_table("effectiveness", folder / OPTIONS)
        return LoadedCampaign(_campaign(inputs, options), {})
    predicted = predict_options(
        str(inputs.data),
        where=inputs.filters(),
        attributes=_attributes(inputs),
        target=inputs.target or "engagement",
        count=inputs.count,
        quick=inputs.model == "quick",
        until=inputs.until,
        key=key,
        refuse=lambda options: _check_rules(inputs, options),
    )
    options = validate("effectiveness", _in_order(predicted))
    return LoadedCampaign(_campaign(inputs, options), {OPTIONS: options})


def _campaign(inputs: CampaignInputs, options: pd.DataFrame) -> Campaign:
    members = [name for name in options if _MEMBER.fullmatch(str(name))]
    if not members:
        return Campaign(options, **inputs.rules())
    means = options[members].to_numpy(np.float32, na_value=np.nan).T
    bad = np.flatnonzero(~np.isfinite(means).all(axis=1))
    if len(bad):
        raise InputError(
            "is not a finite number",
            table="effectiveness",
            column=members[bad[0]],
            rows=np.flatnonzero(~np.isfinite(means[bad[0]]))[:20].tolist(),
            remedy="fill it, or drop the member",
        )
    return Campaign(_outlook(options.drop(columns=members), means), **inputs.rules())


def _outlook(options: pd.DataFrame, members: np.ndarray) -> Effectiveness:
    """Options with members, as a model gives them; what a campaign does not ask is left at 0."""
    nothing = np.zeros(len(options))
    return Effectiveness(
        options=options,
        mean=options["mean"].to_numpy(np.float64),
        std=options["std"].to_numpy(np.float64),
        low=nothing,
        high=nothing,
        level=0.0,
        cold=nothing > 0,
        members=members,
        g_I=nothing,
        g_H=nothing,
        g_M=nothing,
        base=0.0,
        target="",
    )


def _check_rules(inputs: CampaignInputs, options: pd.DataFrame) -> None:
    """Refuse rules that do not fit the options, before a model is fitted."""
    asked = inputs.rules() | {"risk": None}
    known = {name: 0.0 for name in PREDICTED if name not in options}
    Campaign(options.assign(**known), **asked)


def _attributes(inputs: CampaignInputs) -> list[str]:
    """Further columns that rules name, and the genre, which the report shows."""
    named = rules.columns_of(inputs.constraints)
    made = {*OPTION_KEY, *PREDICTED, "price", "posted_at", "day", "week", "month", "quarter"}
    return sorted((named | {"genre"}) - made)


def _in_order(options: pd.DataFrame) -> pd.DataFrame:
    """Sorted by id, so that the order of a file says nothing."""
    return options.sort_values(list(OPTION_KEY), kind="stable", ignore_index=True)


def _located(data: str) -> str:
    if "://" not in data:
        return str(Path(data).resolve())
    url = urlsplit(data)
    place = url.netloc.rpartition("@")
    user = place[0].partition(":")[0]
    return url._replace(netloc=f"{user}@{place[2]}" if user else place[2], query="").geturl()
