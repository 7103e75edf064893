"""What posts on offer will bring: the flat list of options that a campaign chooses from."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxcampaign.tables import OPTION_KEY

if TYPE_CHECKING:
    from jaxcampaign.effectiveness.prediction import Prediction

_SHOWN = 10


@dataclass(frozen=True, eq=False, repr=False)
class Effectiveness:
    """N options with what each is expected to bring, in natural units of the target.

    `mean = base + g_I + g_H + g_M`. The deviation is that of one outcome: noise and what the model
    does not know. Members share what the model does not know about an influencer, so deviations of
    several options do not simply add.

    Attributes:
      options: influencer_id, content_type, event_id, offset_hours, posted_at, price, attributes.
      mean: f64[N], expected outcome.
      std: f64[N], its calibrated standard deviation.
      low: f64[N], lower end of the conformal interval.
      high: f64[N], upper end.
      level: probability with which an outcome falls into its interval.
      cold: bool[N], options with an influencer of whom no outcome was learned from.
      members: f32[K, N], means of the ensemble's members.
      g_I: f64[N], the part of influencer, content, event, time and price.
      g_H: f64[N], the part of past campaigns.
      g_M: f64[N], the part of the market.
      base: the mean where every part is at its average over the posts learned from.
      target: the outcome that is predicted.
    """

    options: pd.DataFrame
    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float
    cold: np.ndarray
    members: np.ndarray
    g_I: np.ndarray
    g_H: np.ndarray
    g_M: np.ndarray
    base: float
    target: str

    @classmethod
    def of(
        cls,
        options: pd.DataFrame,
        found: Prediction,
        interval: tuple[np.ndarray, np.ndarray],
        cold: np.ndarray,
        *,
        level: float,
        target: str,
    ) -> Effectiveness:
        """The options with a model's prediction of them, row by row."""
        influencer, history, market = found.stacked_parts()
        return cls(
            options=options,
            mean=found.mean,
            std=found.std,
            low=interval[0],
            high=interval[1],
            level=level,
            cold=cold,
            members=np.asarray(found.members, np.float32),
            g_I=influencer,
            g_H=history,
            g_M=market,
            base=found.base,
            target=target,
        )

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def price(self) -> np.ndarray:
        """f64[N], price of each option."""
        return self.options["price"].to_numpy(np.float64)

    def take(self, rows: np.ndarray) -> Effectiveness:
        """These options only, in this order: positions or bool[N]."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        names = ("mean", "std", "low", "high", "cold", "g_I", "g_H", "g_M")
        return replace(
            self,
            options=self.options.iloc[rows].reset_index(drop=True),
            members=self.members[:, rows],
            **{name: getattr(self, name)[rows] for name in names},
        )

    def table(self) -> pd.DataFrame:
        """One row per option: its columns, mean, std, low, high, cold, g_I, g_H, g_M."""
        names = ("mean", "std", "low", "high", "cold", "g_I", "g_H", "g_M")
        return self.options.assign(**{name: getattr(self, name) for name in names})

    def __repr__(self) -> str:
        if not len(self):
            return f"Effectiveness(no options, {self.target})"
        return (
            f"Effectiveness({len(self):,} options of {self.options['influencer_id'].nunique():,} "
            f"influencers, {self.target}: mean {self.mean.min():.4g} to {self.mean.max():.4g}, "
            f"std {self.std.min():.3g} to {self.std.max():.3g}, {self.cold.mean():.0%} cold)"
        )

    def _repr_html_(self) -> str:
        best = self.take(np.argsort(-self.mean, kind="stable")[:_SHOWN]).table()
        shown = [*OPTION_KEY, "price", "mean", "std", "g_I", "g_H", "g_M", "cold"]
        shown = [name for name in shown if name in best]
        text = best[shown].to_html(index=False, float_format="{:.4g}".format)
        return f"<p>{html.escape(repr(self))}; the highest means:</p>{text}"
