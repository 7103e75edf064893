"""Prices of a campaign's rows by projected Newton steps on its smoothed dual, cooled down.

The dual is convex in the prices; smoothed, its Hessian is that of a few numbers for each option:
with w = y (1 - y) / gamma and a_j the coefficients of option j (money times the share it gets),

    H = sum_j w_j a_j a_j^T  -  sum over full groups of  s s^T / sum_j w_j,    s = sum_j w_j a_j,

the second term because a full group's choice shifts from one option to another; where money buys
effect, `sum_j y_j soft_j m_j m_j^T` more, m_j the money coefficients. The options whose
choice is not settled are few once the temperature is low; while they are many, some groups stand
for all. Prices at their limit of 0 that would fall further are held there (Bertsekas, 1982).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import jax
import numpy as np
from scipy import linalg, sparse

from jaxcampaign.progress import progress
from jaxcampaign.relaxations.campaign.smoothed.oracle import Answer, Coupling, evaluate

# Temperatures, in units of a typical value: from the first down to the last by a factor.
_HOT, _COLD, _COOLING = 1.0, 2e-4, 0.25
# Steps at one temperature at most, and at the last one.
_STEPS, _LAST_STEPS = 6, 15
# Times that a first price is doubled at most, and then halved towards the best one.
_DOUBLINGS, _HALVINGS = 30, 4
# A temperature is done when the slope, against what rows could hold, falls below it.
_SETTLED = 1e-2
_LAST_SETTLED = 1e-5
# Options that a Hessian is made of, at most: beyond it groups are sampled.
_MOST_OPTIONS = 600_000
# y (1 - y) below which an option is settled.
_UNSETTLED = 1e-4
# Damping as a share of the Hessian's diagonal: at first, and the factor by which it is changed.
_DAMPING, _FACTOR = 1e-4, 8.0


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
            if time.monotonic() >= end:
                break
    _, _, answers = dual.at(x, float(gammas[-1]))
    choices = tuple(
        (option, np.asarray(coupling.spending.response(answer.share) * answer.choice))
        for option, answer in zip(coupling.options, answers, strict=True)
    )
    return Prices(dual.joined(x), dual.evaluations, time.monotonic() - began, choices)


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
        self.damping = _DAMPING
        self.evaluations = 0
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
        binding[np.argmin(slope / self.size)] = 1.0
        low, high = 0.0, 1.0
        for _ in range(_DOUBLINGS):
            # Doubled until it is too much, then halved between what was too little and that.
            falls = self.at(high * binding, gamma)[1] @ binding < 0
            if not falls or time.monotonic() >= end:
                break
            low, high = high, 2 * high
        for _ in range(_HALVINGS):
            if time.monotonic() >= end:
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
            held = (x <= 0) & (slope >= 0)
            error = np.where(held, 0.0, np.abs(slope) / self.size).max(initial=0.0)
            if error <= (_LAST_SETTLED if last else _SETTLED) or time.monotonic() >= end:
                break
            hessian = self._hessian(answers, gamma)
            free = np.flatnonzero(~held)
            moved = False
            for _ in range(8):
                step = np.zeros(len(x))
                step[free] = self._solved(hessian[np.ix_(free, free)], slope[free])
                new = np.maximum(x - step, 0.0)
                found = self.at(new, gamma)
                expected = slope @ (x - new)
                if found[0] <= value - 1e-4 * max(expected, 0.0):
                    x, (value, slope, answers) = new, found
                    self.damping = max(self.damping / _FACTOR, 1e-10)
                    moved = True
                    break
                self.damping = min(self.damping * _FACTOR, 1e6)
            if not moved:
                break
        return x

    def _solved(self, hessian: np.ndarray, slope: np.ndarray) -> np.ndarray:
        diagonal = np.diag(hessian)
        floor = 1e-9 * max(diagonal.max(initial=0.0), 1e-9)
        damped = hessian + np.diag(self.damping * diagonal + floor)
        try:
            return linalg.cho_solve(linalg.cho_factor(damped), slope)
        except linalg.LinAlgError:
            return slope / (diagonal + floor)

    def _hessian(self, answers: list[Answer], gamma: float) -> np.ndarray:
        """Second derivatives, float64[K, K]."""
        n = self.coupling.n_rows
        total = np.zeros((n + 1, n + 1))
        for number, answer in enumerate(answers):
            y = np.asarray(answer.choice)
            rows = np.arange(len(y))
            weigh = 1.0
            if y.size > _MOST_OPTIONS:
                # Settled options count for nothing: how many are not is seen on a sample.
                few = self._rng.choice(len(y), max(_MOST_OPTIONS // y.shape[1] // 8, 1), False)
                share = np.mean(y[few] * (1 - y[few]) > _UNSETTLED)
                most = int(_MOST_OPTIONS / max(share * y.shape[1], 1e-9))
                if most < len(y):
                    rows = np.sort(self._rng.choice(len(y), max(most, 1), False))
                    weigh = len(y) / len(rows)
                    y = y[rows]
            spread = y * (1 - y)
            g, w = np.nonzero(spread > _UNSETTLED)
            weight = spread[g, w].astype(np.float64) / gamma
            at_row = self._row[number][:, rows[g], w]
            coefficient = self._coefficient[number][:, rows[g], w].astype(np.float64)
            spends = np.array(self.coupling.tables[number].spends, bool)
            if self.coupling.spending.least < 1:
                coefficient[spends] *= np.asarray(answer.share)[rows[g], w]
            full = np.asarray(answer.level)[rows] > 0
            total += weigh * _second(g, weight, at_row, coefficient, full, n + 1)
            if self.coupling.spending.least < 1:
                soft = np.asarray(answer.soft)[rows] * y
                g, w = np.nonzero(soft > 0)
                money = self._coefficient[number][:, rows[g], w][spends].astype(np.float64)
                a = _by_option(self._row[number][:, rows[g], w][spends], money, n + 1)
                total += weigh * (a.T @ (a * soft[g, w, None])).toarray()
        hessian = self.coupling.shared(total[1:, 1:])
        hessian = self.coupling.shared(hessian.T)
        return self.sign[:, None] * hessian[np.ix_(self.row, self.row)] * self.sign


def _second(
    group: np.ndarray,
    weight: np.ndarray,
    row: np.ndarray,
    coefficient: np.ndarray,
    full: np.ndarray,
    n_rows: int,
) -> np.ndarray:
    """`sum w a a^T - sum over full groups of s s^T / sum w`, float64[rows, rows]."""
    a = _by_option(row, coefficient, n_rows)
    first = (a.T @ (a * weight[:, None])).toarray()
    own = np.flatnonzero(full[group])
    if not len(own):
        return first
    numbers, at = np.unique(group[own], return_inverse=True)
    by_group = sparse.csr_array(
        (weight[own], (at, np.arange(len(own)))), shape=(len(numbers), len(own))
    )
    s = by_group @ a[own]
    inverse = 1 / np.bincount(at, weights=weight[own])
    return first - (s.T @ (s * inverse[:, None])).toarray()


def _by_option(row: np.ndarray, coefficient: np.ndarray, n_rows: int) -> sparse.csr_array:
    """Coefficients [P, n] as one sparse row for each option, float64[n, rows]."""
    n_families, n = row.shape
    place = np.tile(np.arange(n), n_families)
    triplets = (coefficient.ravel(), (place, row.ravel()))
    return sparse.coo_array(triplets, shape=(n, n_rows)).tocsr()
