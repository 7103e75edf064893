"""What a model says of N options: mean, deviation, members and the parts of the three sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from jaxcampaign.effectiveness.features import SOURCES, Source


@dataclass(frozen=True, eq=False)
class Prediction:
    """A prediction of N rows on the natural scale of the target, in float64.

    `mean = base + parts["I"] + parts["H"] + parts["M"]` wherever a model gives parts. The members
    are kept because the errors of one influencer correlate: deviations do not simply add.
    """

    mean: np.ndarray  # f64[N], E[y], never its median or the exponential of a mean logarithm
    std: np.ndarray  # f64[N], of an outcome: noise and what the model does not know, together
    members: np.ndarray  # f64[K, N], means of the K members of an ensemble; K = 1 without one
    parts: Mapping[Source, np.ndarray] = field(default_factory=dict)  # f64[N] each; or empty
    # f64[N] each, summands of the link, each of which looks at one source only; or empty
    summands: Mapping[Source, np.ndarray] = field(default_factory=dict)
    base: float = 0.0  # the prediction when every part is at its reference, the training rows

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, rows: np.ndarray | slice) -> Prediction:
        """These rows only, in this order."""
        return Prediction(
            mean=self.mean[rows],
            std=self.std[rows],
            members=self.members[:, rows],
            parts={source: part[rows] for source, part in self.parts.items()},
            summands={source: part[rows] for source, part in self.summands.items()},
            base=self.base,
        )

    def stacked_parts(self) -> np.ndarray:
        """f64[3, N], the parts in the order of `SOURCES`; zero for a source that has none."""
        return self._stacked(self.parts)

    def stacked_summands(self) -> np.ndarray:
        """f64[3, N], the summands of the link likewise."""
        return self._stacked(self.summands)

    def _stacked(self, by_source: Mapping[Source, np.ndarray]) -> np.ndarray:
        nothing = np.zeros(len(self.mean))
        return np.stack([by_source.get(source, nothing) for source in SOURCES])
