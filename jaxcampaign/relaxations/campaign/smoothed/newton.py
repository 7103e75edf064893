"""Prices of a campaign's rows by projected Newton steps on its smoothed dual, cooled down.

The options whose choice is not settled, which the second derivatives are made of, are few once the
temperature is low; while they are many, some groups stand for all. Prices at their limit of 0 that
would fall further are held there (Bertsekas, 1982).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import jax
import numpy as np

from jaxcampaign.progress import moment, progress
from jaxcampaign.relaxations.campaign.smoothed.curvature import Curvature, Term
from jaxcampaign.relaxations.campaign.smoothed.oracle import Answer, Coupling, evaluate

# Temperatures, in units of a typical value: from the first down to the last by a factor.
_HOT, _COLD, _COOLING = 1.0, 2e-4, 0.25
# Steps at one temperature at most, and at the last one.
_STEPS, _LAST_STEPS = 6, 40
# Times that a first price is doubled at most, and then halved towards the best one.
_DOUBLINGS, _HALVINGS = 30, 4
# A temperature is done when the slope, against what rows could hold, falls below it.
_SETTLED = 3e-3
_LAST_SETTLED = 1e-5
# Options that a Hessian is made of, at most: beyond it groups are sampled.
_MOST_OPTIONS = 200_000
# y (1 - y) below which an option is settled.
_UNSETTLED = 1e-4
# Damping as a share of the Hessian's diagonal: at first, and the factor by which it is changed.
_DAMPING, _FACTOR = 1e-4, 8.0
# Share of the value that a step must promise: less is lost in the rounding of float32.
_NOISE = 1e-8
# How far a price may move in one step, at most, in units of a typical value, and its factor.
_FARTHEST, _WIDER = 4.0, 2.0


@dataclass(frozen=True, eq=False)
class Prices:
    """Where the iteration stopped.

    Attributes:
      price: float64[M], signed, in the units of the device.
      evaluations: of the dual.
      seconds: of all of it.
      choices: options int64[g, w] (-1 for padding) and what is bought of each, f32[g, w].
    """

    price: np.ndarray
    evaluations: int
    seconds: float
    choices: tuple[tuple[np.ndarray, np.ndarray], ...]

    def effect(self, n_options: int) -> np.ndarray:
        """What the smoothed choice buys of each option, float64[N]."""
        bought = np.zeros(n_options + 1)
        for option, effect in self.choices:
            bought[option] = effect
        return bought[:-1]


def minimise(coupling: Coupling, start: np.ndarray | None = None, *, end: float = np.inf) -> Prices:
    """Prices at which the smoothed dual is least.

    Args:
      coupling: the rows and options.
      start: float64[M], signed prices to start from; then the first temperatures are skipped.
      end: when to stop, in seconds of `time.monotonic`.
    """
    began = time.monotonic()
    dual = _Dual(coupling)
    hot = _HOT if start is None else 30 * _COLD
    stages = int(np.ceil(np.log(hot / _COLD) / -np.log(_COOLING))) + 1
    gammas = np.geomspace(hot, _COLD, stages)
    x = dual.bisected(hot, end) if start is None else dual.split(start)
    with progress(stages, "dual prices", "temperature") as bar:
        for gamma in gammas:
            last = gamma == gammas[-1]
            x = dual.settle(x, float(gamma), _LAST_STEPS if last else _STEPS, last, end)
            bar.update(1)
            if moment() >= end:
                break
    _, _, answers = dual.at(x, float(gammas[-1]))
    choices = tuple(
        (option, coupling.spending.response(np.asarray(answer.share)) * np.asarray(answer.choice))
        for option, answer in zip(coupling.options, answers, strict=True)
    )
    seconds = time.monotonic() - began
    return Prices(dual.joined(x), dual.evaluations, seconds, choices)


class _Dual:
    """The smoothed dual over prices of at least 0: one for each finite limit."""

    def __init__(self, coupling: Coupling):
        self.coupling = coupling
        upper, lower = np.isfinite(coupling.upper), np.isfinite(coupling.lower)
        self.row = np.concatenate([np.flatnonzero(upper), np.flatnonzero(lower)])
        self.sign = np.repeat([1.0, -1.0], [upper.sum(), lower.sum()])
        limits = np.concatenate([coupling.upper[upper], coupling.lower[lower]])
        fixed = coupling.shared(coupling.fixed)
        self.limit = (limits - fixed[self.row]) / coupling.unit[self.row]
        self.levels: list[jax.Array] | None = None
        self.damping, self.radius = _DAMPING, _FARTHEST
        self.evaluations = 0
        self.slope = np.inf
        self._rng = np.random.default_rng(0)
        self._row = [np.asarray(table.row) for table in coupling.tables]
        self._coefficient = [np.asarray(table.coefficient) for table in coupling.tables]
        # What a row could hold at most: slopes are measured by it.
        self.size = np.maximum(np.abs(self.limit), 1.0)

    def split(self, price: np.ndarray) -> np.ndarray:
        """Prices of limits out of signed prices of rows."""
        return np.maximum(self.sign * price[self.row], 0.0)

    def joined(self, x: np.ndarray) -> np.ndarray:
        """Signed prices of rows."""
        return np.bincount(self.row, weights=self.sign * x, minlength=self.coupling.n_rows)

    def at(self, x: np.ndarray, gamma: float) -> tuple[float, np.ndarray, list[Answer]]:
        """Value, slope and answers."""
        self.evaluations += 1
        worth, total, answers = evaluate(self.coupling, self.joined(x), gamma, self.levels)
        activity = self.coupling.shared(total)
        slope = self.sign * (self.limit - activity[self.row])
        return worth + float(x @ (self.sign * self.limit)), slope, answers

    def bisected(self, gamma: float, end: float) -> np.ndarray:
        """Where to start: a price of the limit that is exceeded most without any.

        From no prices at all Newton's steps fail: nearly every option is wanted for sure, so the
        second derivatives there say nothing.
        """
        none = np.zeros(len(self.row))
        slope = self.at(none, gamma)[1]
        if not (slope < 0).any():
            return none
        binding = np.zeros(len(none))
        binding[np.argmin(slope)] = 1.0
        low, high = 0.0, 1.0
        for _ in range(_DOUBLINGS):
            # Doubled until it is too much, then halved between what was too little and that.
            falls = self.at(high * binding, gamma)[1] @ binding < 0
            if not falls or moment() >= end:
                break
            low, high = high, 2 * high
        for _ in range(_HALVINGS):
            if moment() >= end:
                break
            middle = (low + high) / 2
            falls = self.at(middle * binding, gamma)[1] @ binding < 0
            low, high = (middle, high) if falls else (low, middle)
        return high * binding

    def settle(self, x: np.ndarray, gamma: float, steps: int, last: bool, end: float) -> np.ndarray:
        """Newton steps at one temperature."""
        value, slope, answers = self.at(x, gamma)
        for _ in range(steps):
            self.levels = [answer.level for answer in answers]
            held = self._held(x, slope)
            enough = self.slope <= (_LAST_SETTLED if last else _SETTLED)
            if enough or moment() >= end:
                break
            curvature = self._curvature(answers, gamma)
            free = np.flatnonzero(~held)
            moved = False
            for _ in range(8):
                step = np.zeros(len(x))
                step[free] = curvature.solved(slope[free], free, self.damping, self.radius)
                new = np.maximum(x - step, 0.0)
                expected = slope @ (x - new)
                if expected <= _NOISE * abs(value):
                    break
                found = self.at(new, gamma)
                if found[0] <= value - 1e-4 * max(expected, 0.0):
                    x, (value, slope, answers) = new, found
                    self.damping = max(self.damping / _FACTOR, 1e-10)
                    self.radius = min(self.radius * _WIDER, _FARTHEST)
                    moved = True
                    break
                self.damping = min(self.damping * _FACTOR, 1e6)
                self.radius = max(self.radius / _WIDER**2, gamma / _FARTHEST)
            if not moved:
                break
        self._held(x, slope)
        return x

    def _held(self, x: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Prices at 0 that would fall further, bool; and notes the largest other slope."""
        held = (x <= 0) & (slope >= 0)
        self.slope = float(np.where(held, 0.0, np.abs(slope) / self.size).max(initial=0.0))
        return held

    def _curvature(self, answers: list[Answer], gamma: float) -> Curvature:
        """Second derivatives over the prices of limits."""
        coupling = self.coupling
        n_rows, money_buys = coupling.n_rows + 1, coupling.spending.least < 1
        terms = []
        for number, answer in enumerate(answers):
            y = np.asarray(answer.choice)
            groups, weigh = self._sampled(y)
            y = y[groups]
            spread = y * (1 - y)
            g, w = np.nonzero(spread > _UNSETTLED)
            row = self._row[number][:, groups[g], w]
            coefficient = self._coefficient[number][:, groups[g], w].astype(np.float64)
            spends = np.array(coupling.tables[number].spends, bool)
            if money_buys:
                coefficient[spends] *= np.asarray(answer.share)[groups[g], w]
            full = (np.asarray(answer.level)[groups] > 0)[g]
            weight = spread[g, w].astype(np.float64) / gamma
            terms.append(Term.of(g, weight, row, coefficient, full, n_rows, weigh))
            if money_buys:
                soft = np.asarray(answer.soft)[groups] * y
                g, w = np.nonzero(soft > 0)
                row = self._row[number][:, groups[g], w][spends]
                money = self._coefficient[number][:, groups[g], w][spends].astype(np.float64)
                weight = soft[g, w].astype(np.float64)
                terms.append(Term.plain(weight, row, money, n_rows, weigh))
        shared, apart = coupling.shared, coupling.largest_family
        return Curvature(terms, shared, self.row, self.sign, coupling.n_rows, apart)

    def _sampled(self, y: np.ndarray) -> tuple[np.ndarray, float]:
        """Groups of a table f32[g, w] that stand for all, and how many each stands for."""
        n = len(y)
        if y.size <= _MOST_OPTIONS:
            return np.arange(n), 1.0
        # Settled options count for nothing: how many are not is seen on a sample.
        few = self._rng.choice(n, max(_MOST_OPTIONS // y.shape[1] // 8, 1), False)
        share = np.mean(y[few] * (1 - y[few]) > _UNSETTLED)
        most = max(int(_MOST_OPTIONS / max(share * y.shape[1], 1e-9)), 1)
        if most >= n:
            return np.arange(n), 1.0
        return np.sort(self._rng.choice(n, most, False)), n / most
