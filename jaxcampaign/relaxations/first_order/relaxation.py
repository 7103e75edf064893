"""The linear relaxation by a first-order method: bounds at sizes where a simplex cannot start."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import jax
import numpy as np

from jaxcampaign.problems import Cuts, Multipliers, SlotProblem, lagrangian_bound
from jaxcampaign.progress import moment, progress
from jaxcampaign.relaxations.first_order.deepest import deepest_cuts
from jaxcampaign.relaxations.first_order.polish import polished
from jaxcampaign.relaxations.first_order.primal_dual import Point, advance, norms, start
from jaxcampaign.relaxations.first_order.saddle import (
    Dual,
    Primal,
    Room,
    build_frame,
    build_saddle,
)
from jaxcampaign.relaxations.first_order.terms import Terms
from jaxcampaign.relaxations.hull import violated_hull_cuts
from jaxcampaign.relaxations.linear import Relaxed
from jaxcampaign.relaxations.prefix import prefix_bound
from jaxcampaign.relaxations.scaling import typical

_STEPS = 40  # between two checks
_FEWEST_STEPS = 400  # before progress is judged
# Steps of a round, as a share of all before: inequalities for a point far off would soon be idle.
_ROUND_SHARE = 0.2
# Violations are worth a cut from this on, over the steps so far: a point is not more exact.
_ACCURACY = 0.3
# Share of the cost of everything by which a bound in float32 must exceed it to be believed.
_UNBOUNDED = 1e-3
# Facets are looked for once prefixes add fewer inequalities than this share of those at hand.
_FEW_PREFIXES = 0.2
# Rounds that an inequality without a price stays.
_PATIENCE = 1
# Inequalities of one user that a round adds, in either order of its slots.
_CUTS_PER_ROUND = 2
# Users whose hulls are looked at in a round, and slots of each.
_MOST_HULLS = 2000
_HULL_MEMBERS = 10
# Inequalities at most, for each user, and pairs at least for each of their members; where there are
# few users and pairs, up to so many all the same.
_CUTS_PER_USER, _FEWEST_CUTS = 2, 4096
_PAIRS_PER_MEMBER, _FEWEST_MEMBERS = 4, 1 << 17


@dataclass(frozen=True)
class FirstOrderRelaxation:
    """LP relaxation of a slot problem by a primal-dual method, with cuts in rounds.

    The program is that of `LinearRelaxation` with its inequalities of users: those of Nemhauser and
    Wolsey (1981) over prefixes, and facets of hulls. A step costs two sparse products in float32 on
    the device; a round starts where the last one stood. The best prices met on the way prove the
    bound, in float64, whenever the method stops. Where the program has no solution the bound grows
    beyond what everything costs, and its multipliers prove that too.

    Args:
      min_progress: stop when half of all steps raised the bound by less than this share of it.
      max_steps: steps at most.
      tolerance: smallest violation of an inequality that is worth a cut, once steps are many;
        early points are not so exact.
      max_rounds: rounds at most; none solves the program with the inequalities it is given.
      hull: whether to look for facets of users' hulls beside prefixes.
    """

    min_progress: float = 5e-4
    max_steps: int = 20_000
    tolerance: float = 1e-5
    max_rounds: int = 1000
    hull: bool = True

    def solve(
        self, problem: SlotProblem, *, seconds: float = float("inf"), cuts: Cuts | None = None
    ) -> Relaxed:
        """Bound, proof and fractional points.

        Args:
          problem: what is asked; it must not be `unreachable`.
          seconds: time limit, compilation included; the best bound so far is returned. Laying the
            program out and one proof in float64 are done in any case.
          cuts: inequalities to start with, beside those of the empty set.
        """
        began = time.monotonic()
        run = _Run(problem, Cuts.first(np.zeros(0, int)) if cuts is None else cuts, self.hull)
        rounds, stalled = 0, False
        end = began + seconds - run.proof_seconds
        with progress(self.max_steps, "first-order relaxation", "step") as bar:
            while not stalled and run.steps < self.max_steps:
                before = run.steps
                wanted = _STEPS * max(round(_ROUND_SHARE * before / _STEPS), 2)
                wanted = min(wanted, self.max_steps - before)
                run.advance(wanted, end - time.monotonic())
                bar.update(run.steps - before)
                if run.steps - before < wanted or run.unbounded:  # out of time, or refuted
                    break
                stalled = run.steps >= _FEWEST_STEPS and (
                    run.progress_of_last_half() < self.min_progress
                )
                tolerance = max(self.tolerance, _ACCURACY / run.steps)
                if not stalled and rounds < self.max_rounds and run.add_cuts(tolerance):
                    rounds += 1
        bound, multipliers = run.proof()
        statistics = {
            "rounds": rounds,
            "cuts": len(run.terms) + problem.influence.n_users,
            "steps": run.steps,
            "compile_seconds": run.compile_seconds,
            "seconds": time.monotonic() - began,
        }
        return Relaxed(bound, multipliers, tuple(run.points), statistics)


class _Run:
    """The iteration as the host sees it.

    Attributes:
      terms: inequalities beside those of the empty set.
      points: x after each round, float64[S].
      steps: all steps so far.
      compile_seconds: time that went into compiling.
      proof_seconds: what the proof at the end will take, about.
    """

    def __init__(self, problem: SlotProblem, cuts: Cuts, hull: bool):
        self.problem, self.terms = problem, Terms.of(problem.influence, cuts)
        self._hull = hull
        self._scale = typical(np.concatenate([problem.item_cost, problem.user_value]))
        self._frame = build_frame(problem, self._scale)
        self._idle = np.zeros(len(cuts), int)
        self._room = Room.first(problem.influence.n_pairs).fitting(self.terms)
        self._saddle = build_saddle(problem, self._frame, self.terms, self._room)
        began = time.monotonic()
        self._first = prefix_bound(problem, [])
        self.proof_seconds = 2 * (time.monotonic() - began)
        guess = self._guess()
        origin = jax.tree.map(np.zeros_like, guess.primal)
        self._state = start(Point(origin, guess.dual), self._weight(guess))
        self.points = [np.asarray(guess.primal.x, np.float64)]
        self.steps, self.compile_seconds, self._step_seconds = 0, 0.0, 0.0
        self._history = [(0, -np.inf)]
        self._compiled = False

    def advance(self, steps: int, seconds: float) -> None:
        """So many steps, or as many as the time allows."""
        end = time.monotonic() + seconds
        while steps and moment() < end:
            if not self._compiled:
                self._compile()
                continue
            fit = steps
            if np.isfinite(end):
                fit = int(min((end - time.monotonic()) / self._step_time(), steps))
            size = max(min(fit, _STEPS), 1)
            checks = max(fit // size, 1)
            began = time.monotonic()
            self._state = advance(self._saddle, self._state, checks, size)
            bound = float(self._state.bound)
            self._step_seconds = (time.monotonic() - began) / (checks * size)
            steps -= checks * size
            self.steps += checks * size
            self._history.append((self.steps, bound))
        self.points.append(np.asarray(self._state.image.primal.x, np.float64))

    def _step_time(self) -> float:
        """Seconds of a step, at first of one that is undone.

        A check after it would weigh primal against dual by a single step, and the iteration would
        take long to recover.
        """
        if not self._step_seconds:
            began = time.monotonic()
            jax.block_until_ready(advance(self._saddle, self._state, 1, 1))
            self._step_seconds = time.monotonic() - began
        return self._step_seconds

    @property
    def unbounded(self) -> bool:
        """The bound is clearly above what any selection can cost, so there is none."""
        if self.problem.sense != "min":
            return False
        return self._scale * self._history[-1][1] > (1 + _UNBOUNDED) * self.problem.cost_of_all

    def progress_of_last_half(self) -> float:
        """By what share of itself the last half of all steps moved the bound."""
        steps, bounds = np.array(self._history).T
        before = bounds[np.searchsorted(steps, steps[-1] / 2, side="right") - 1]
        if not np.isfinite(before):
            return np.inf
        return (bounds[-1] - before) / max(abs(bounds[-1]), 1e-30)

    def add_cuts(self, tolerance: float) -> bool:
        """Search for violated inequalities and drop those without a price; whether any is new."""
        problem, state, n_old = self.problem, self._state, len(self.terms)
        x = self.points[-1]
        reach = np.asarray(state.image.primal.reach, np.float64)
        covered = problem.influence.matrix.T @ x
        reach = np.minimum(reach, covered)
        np.minimum.at(reach, self.terms.cuts.user, self.terms.limits(x, covered))
        price, best = (np.asarray(d.cut)[:n_old] for d in (state.image.dual, state.best))
        self._idle = np.where((price > 0) | (best > 0), 0, self._idle + 1)
        kept = np.flatnonzero(self._idle <= _PATIENCE)
        old = self.terms.cuts.take(kept)
        new = self._violated(x, reach, tolerance, old)
        if not len(new):
            return False
        self.terms = Terms.of(problem.influence, Cuts.join([old, new]))
        self._idle = np.concatenate([self._idle[kept], np.zeros(len(new), int)])
        self._room = self._room.fitting(self.terms)
        self._saddle = build_saddle(problem, self._frame, self.terms, self._room)

        def carried(dual: Dual) -> Dual:
            price = np.zeros(self._saddle.intercept.shape, np.float32)
            price[: len(kept)] = np.asarray(dual.cut)[kept]
            return dual._replace(cut=jax.device_put(price))

        point = Point(state.image.primal, carried(state.image.dual))
        fresh = start(point, float(state.weight))
        self._state = fresh._replace(steps=state.steps, bound=state.bound, best=carried(state.best))
        self._compiled = False
        return True

    def _violated(self, x: np.ndarray, reach: np.ndarray, tolerance: float, old: Cuts) -> Cuts:
        """Violated inequalities, as many as there may be beside the old ones."""
        influence = self.problem.influence
        most_cuts = max(_CUTS_PER_USER * influence.n_users, _FEWEST_CUTS) - len(old)
        most_members = max(influence.n_pairs // _PAIRS_PER_MEMBER, _FEWEST_MEMBERS)
        # Slots that are not chosen at all have no say, so only the others are sorted.
        chosen = np.flatnonzero(x > 0)
        by_user = influence.matrix[chosen].T.tocsr()
        found, violation = deepest_cuts(
            by_user, x[chosen], reach, tolerance=tolerance, most=_CUTS_PER_ROUND
        )
        found = dataclasses.replace(found, slot=chosen[found.slot].astype(np.int32))
        found = _worst(found, violation, most_cuts, most_members - len(old.slot))
        room = most_cuts - len(found)
        if not self._hull or room <= 0 or len(found) > _FEW_PREFIXES * len(old):
            return found
        # Facets take a small program each: only for users whose reach is priced highest.
        price = self._total(self._state.best, self.problem.active_users)
        order = np.argsort(-price, kind="stable")[: min(_MOST_HULLS, room)]
        users = np.sort(self.problem.active_users[order])
        facets = violated_hull_cuts(
            influence, x, reach[users], users, tolerance, members=_HULL_MEMBERS
        )
        return Cuts.join([found, facets])

    def _total(self, dual: Dual, users: np.ndarray) -> np.ndarray:
        """Sum of the prices of each user's inequalities."""
        cut = np.asarray(dual.cut)[: len(self.terms)]
        spent = np.asarray(dual.first) + self.terms.per_user(cut, len(dual.first))
        return spent[users]

    def proof(self) -> tuple[float, Multipliers]:
        """The best bound met and its multipliers, in float64."""
        better = max if self.problem.sense == "min" else min
        found = [self._first]
        if np.isfinite(self._history[-1][1]):
            multipliers = polished(self.problem, self.terms, self._state.best, self._scale)
            found.append((lagrangian_bound(self.problem, multipliers), multipliers))
        return better(found, key=lambda one: one[0])

    def _compile(self) -> None:
        began = time.monotonic()
        jax.block_until_ready(advance(self._saddle, self._state, 0, 0))
        self.compile_seconds += time.monotonic() - began
        self._compiled = True

    def _guess(self) -> Point:
        """Prices in proportion to what demands are, and what one would buy at them."""
        problem, multipliers = self.problem, self._first[1]
        first = np.bincount(
            multipliers.cuts.user, multipliers.cut, minlength=problem.influence.n_users
        )
        row = multipliers.row_lower - multipliers.row_upper
        worth = problem.influence.matrix @ first + problem.rows.matrix.T @ row
        x = (worth >= problem.item_cost * (1 - 1e-9)) & (worth > 0)
        primal = Primal(_device(x), _device(np.minimum(problem.influence.matrix.T @ x, 1.0)))
        none = np.zeros(self._saddle.intercept.shape)
        demand = multipliers.demand[problem.demand > 0]
        dual = Dual(*(_device(price / self._scale) for price in (demand, row, first, none)))
        return jax.tree.map(
            lambda a: jax.device_put(np.asarray(a, np.float32)), Point(primal, dual)
        )

    def _weight(self, guess: Point) -> float:
        """Primal weight: how far the dual answer is likely to be, against the primal one."""
        primal, dual = np.asarray(norms(self._saddle, guess), np.float64)
        return float(dual / primal) if primal > 0 and dual > 0 else 1.0


def _worst(found: Cuts, violation: np.ndarray, cuts: int, members: int) -> Cuts:
    """So many inequalities at most, with so many members, those violated most."""
    if len(found) <= cuts and len(found.slot) <= members:
        return found
    worst = np.argsort(-violation, kind="stable")[: max(cuts, 0)]
    fits = np.cumsum(np.diff(found.start)[worst]) <= members
    return found.take(np.sort(worst[fits]))


def _device(values: np.ndarray) -> jax.Array:
    return jax.device_put(np.asarray(values, np.float32))
