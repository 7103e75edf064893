"""The one verb: ask a problem, get a certified answer."""

from __future__ import annotations

import time
from typing import Any

import jax
import numpy as np

from jaxcampaign.certificate import (
    OPTIMALITY_GAP,
    Certificate,
    certify,
    unreachable,
)
from jaxcampaign.problems import DisjointSlots, Problem, SlotProblem
from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.relaxations import FirstOrderRelaxation
from jaxcampaign.solvers.base import Clock, Finding, Solver, check_time_limit
from jaxcampaign.solvers.branch_and_cut import BranchAndCut
from jaxcampaign.solvers.brute_force import BruteForce
from jaxcampaign.solvers.campaign.choose import choose_campaign_solver
from jaxcampaign.solvers.campaign.solution import CampaignSolution
from jaxcampaign.solvers.greedy import Greedy
from jaxcampaign.solvers.lp_rounding import LPRounding
from jaxcampaign.solvers.solution import Solution

# Most users for which trying all selections of a dozen slots is quick.
_BRUTE_USERS = 10_000
# Largest size, in stored pairs, at which the simplex method is the choice.
_SIMPLEX_PAIRS = 400_000
# Largest size at which a relaxation's points are rounded many times.
_ROUNDING_PAIRS = 5_000_000
# The same for disjoint sets, whose relaxation has a variable for each slot and product: of a tree
# over it, and of the simplex method.
_TREE_PAIRS_DISJOINT = 20_000
_SIMPLEX_PAIRS_DISJOINT = 2_000_000


def solve(
    problem: Problem,
    solver: Solver | None = None,
    *,
    key: jax.Array | None = None,
    time_limit: float | None = None,
) -> Solution:
    """Find a good selection and certify it.

    Args:
      problem: what is asked.
      solver: how to search; by default one is chosen by the size of the problem, and the answer
        says which and why.
      key: source of randomness, consumed; `jax.random.key(0)` by default. The same key gives the
        same answer on the same device.
      time_limit: seconds for the search; the best answer and bound so far are returned.

    Returns:
      The selection with its certificate. A problem that no selection can satisfy is an answer
      too: status "infeasible", the reasons, and the cheapest selection found that meets each demand
      as far as all slots together can.
    """
    if time_limit is not None:
        check_time_limit(time_limit)
    began = time.monotonic()
    statistics: dict[str, Any] = {}
    if solver is None:
        solver, statistics["chosen_because"] = choose_solver(problem)
    key = jax.random.key(0) if key is None else key
    reasons = unreachable(problem)
    asked = _within_reach(problem) if isinstance(problem, SlotProblem) and reasons else problem
    found = solver.search(asked, key=key, clock=Clock.after(time_limit))
    proof = None if reasons else found.multipliers
    certificate = certify(problem, found.selection, proof, found.solver_bound, found.spend)
    statistics |= found.statistics | {"seconds": time.monotonic() - began}
    kind: type[Solution] = CampaignSolution if isinstance(problem, Campaign) else Solution
    return kind(
        problem=problem,
        selection=found.selection,
        certificate=certificate,
        multipliers=proof,
        status=_status(certificate, found),
        solver=repr(solver),
        target=found.target,
        statistics=statistics,
        spend=found.spend,
    )


def choose_solver(problem: Problem) -> tuple[Solver, str]:
    """The solver that `solve` takes by default, and why."""
    if isinstance(problem, Campaign):
        return choose_campaign_solver(problem)
    assert isinstance(problem, SlotProblem)
    pairs = problem.influence.n_pairs
    if problem.n_items <= 12 and problem.influence.n_users <= _BRUTE_USERS:
        return BruteForce(), f"{problem.n_items} slots: all selections can be tried"
    if isinstance(problem, DisjointSlots):
        if pairs <= _TREE_PAIRS_DISJOINT:
            return BranchAndCut(), f"{pairs:,} pairs of slots, users and products: small enough"
        if pairs <= _SIMPLEX_PAIRS_DISJOINT:
            return LPRounding(), f"{pairs:,} pairs of slots, users and products: one relaxation"
    elif pairs <= _SIMPLEX_PAIRS:
        return BranchAndCut(), f"{pairs:,} pairs: the linear relaxation is quick and tight"
    elif pairs <= _ROUNDING_PAIRS:
        return LPRounding(FirstOrderRelaxation()), f"{pairs:,} pairs: too many for the simplex"
    return Greedy(relaxation=FirstOrderRelaxation()), f"{pairs:,} pairs: too many to round twice"


def _within_reach(problem: SlotProblem) -> SlotProblem:
    """The same problem with each demand lowered to what all slots together reach."""
    everything = problem.objective.reference(np.ones(problem.n_items, bool))
    return problem.with_demand(np.minimum(problem.demand, everything))


def _status(certificate: Certificate, found: Finding) -> str:
    if not certificate.feasible:
        if certificate.reasons or found.infeasible:
            return "infeasible"
        return "bicriteria" if found.target < 1 and certificate.meets(found.target) else "unsolved"
    if certificate.gap is not None and certificate.gap <= OPTIMALITY_GAP:
        return "optimal"
    return "limit" if found.limit_hit else "feasible"
