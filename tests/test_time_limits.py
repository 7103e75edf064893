"""Limits: settings that are none are refused, and every program gets what is left of the time."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.problems.campaign import Family
from jaxcampaign.relaxations.campaign import allocation, elastic, program
from jaxcampaign.relaxations.simplex import quiet_highs, wide_options
from jaxcampaign.report import report_html


def _options(n: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    price = rng.lognormal(5, 0.8, n).round(2)
    return pd.DataFrame(
        {
            "influencer_id": [f"i{i:03d}" for i in range(n)],
            "content_type": "reel",
            "event_id": [f"e{i}" for i in rng.integers(0, 4, n)],
            "offset_hours": 0.0,
            "genre": [f"g{i}" for i in rng.integers(0, 4, n)],
            "price": price,
            "mean": price**0.7 * rng.lognormal(0, 0.6, n),
            "std": 0.0,
        }
    )


def _impossible() -> jc.Campaign:
    return jc.Campaign(_options(), budget=20.0, constraints=[jc.AtLeast(5, per="event_id")])


@pytest.mark.parametrize("kind", [jc.DualDecomposition, jc.MixedInteger, jc.BranchAndCut])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("gap", value) for value in (-1, np.nan, np.inf, "small", True, None)),
        *(("time_limit", value) for value in (0, -1.0, np.nan, "long", True)),
    ],
)
def test_a_setting_that_is_none_is_refused(kind, name, value):
    with pytest.raises(jc.InputError) as caught:
        kind(**{name: value})
    assert (caught.value.table, caught.value.value) == (name, value)


@pytest.mark.parametrize("value", [0, -1, np.nan, "long"])
def test_a_limit_of_solve_that_is_none_is_refused(value):
    with pytest.raises(jc.InputError) as caught:
        jc.solve(_impossible(), time_limit=value)
    assert caught.value.table == "time_limit"


@pytest.mark.parametrize("name", ["samples", "polish"])
def test_numbers_of_rounding_are_counts(name):
    with pytest.raises(jc.InputError):
        jc.LPRounding(**{name: -1})


def test_what_is_no_fault_is_taken():
    jc.DualDecomposition(gap=0, time_limit=np.float32(3))
    jc.MixedInteger(time_limit=np.inf)
    jc.BranchAndCut(time_limit=None)


def _concave() -> jc.Campaign:
    rules = [jc.AtMost(3, per="genre"), jc.MaxShare(0.5, per="genre", of="spend")]
    return jc.Campaign(
        _options(), budget=900.0, constraints=rules, spending=jc.ConcaveResponse(2.0)
    )


def test_the_conic_program_gets_the_time_that_is_left(monkeypatch):
    limits, solved = [], cp.Problem.solve

    def solve(self, **options):
        limits.append(options["time_limit"])
        return solved(self, **options)

    monkeypatch.setattr(cp.Problem, "solve", solve)
    solution = jc.solve(_concave(), jc.DualDecomposition(time_limit=40.0))
    assert limits and all(0 < limit <= 40 for limit in limits)
    assert solution.certificate.feasible


@pytest.mark.parametrize("status", ["user_limit", "error"])
def test_money_stays_as_prices_give_it_where_the_conic_program_has_no_answer(monkeypatch, status):
    problem, solved = _concave(), cp.Problem.solve

    def stopped(self, **options):
        if status == "error":
            raise cp.error.SolverError("stopped")
        solved(self, **options)
        self._status = status

    whole = jc.solve(problem).certificate
    monkeypatch.setattr(cp.Problem, "solve", stopped)
    everything = np.ones(problem.n_items, bool)
    assert allocation.allocate(problem, problem.mean, everything) is None
    solution = jc.solve(problem)
    assert solution.certificate.feasible
    assert 0.8 * whole.value <= solution.certificate.value <= whole.bound


def test_without_time_money_is_not_shared_out(monkeypatch):
    monkeypatch.setattr(cp, "Problem", None)
    problem = _concave()
    chosen = np.ones(problem.n_items, bool)
    assert allocation.allocate(problem, problem.mean, chosen, seconds=0.0) is None


def test_shares_of_many_groups_make_no_full_rows(monkeypatch):
    largest, matrix = [0], Family.matrix

    def counted(self):
        found = matrix(self)
        largest[0] = max(largest[0], found.nnz)
        return found

    monkeypatch.setattr(Family, "matrix", counted)
    share = jc.MaxShare(0.05, per="influencer_id", of="spend")
    problem = jc.Campaign(
        _options(), budget=900.0, constraints=[share], spending=jc.ConcaveResponse(2.0)
    )
    chosen = np.ones(problem.n_items, bool)
    spend = allocation.allocate(problem, problem.mean, chosen)
    assert largest[0] == problem.n_items
    assert problem.assess(chosen, spend).feasible
    # All money is spent, and what is bought the most of has its share.
    assert spend.sum() == pytest.approx(900.0, abs=1.0)
    assert spend.max() == pytest.approx(0.05 * spend.sum(), abs=0.1)


def _recorded(monkeypatch, module) -> list[dict[str, object]]:
    given: list[dict[str, object]] = []

    def highs(**options):
        given.append(options)
        return quiet_highs(**options)

    monkeypatch.setattr(module, "quiet_highs", highs)
    return given


def test_all_elastic_programs_get_a_limit(monkeypatch):
    given = _recorded(monkeypatch, elastic)
    conflict = elastic.smallest_change(_impossible(), seconds=8.0)
    assert conflict.multipliers is not None
    assert all(0 < o["time_limit"] <= most for o, most in zip(given, (4, 8, 8), strict=True))


@pytest.mark.parametrize("seen", ["nothing", "a point"])
def test_an_elastic_relaxation_that_is_stopped_proves_nothing(monkeypatch, seen):
    solve = elastic._solve

    def stopped(*args, integer, **options):
        found = solve(*args, integer=integer, **options)
        if integer:
            return found
        return None if seen == "nothing" else found._replace(finished=False)

    monkeypatch.setattr(elastic, "_solve", stopped)
    conflict = elastic.smallest_change(_impossible())
    assert conflict.multipliers is None
    assert len(conflict.table)


def test_without_a_smallest_change_what_is_had_and_asked_is_said(monkeypatch):
    monkeypatch.setattr(elastic, "_solve", lambda *args, **options: None)
    solution = jc.solve(_impossible(), jc.MixedInteger())
    assert solution.status == "infeasible"
    assert "smallest_change" not in solution.statistics
    page = report_html(solution)
    assert "No smallest change of the limits was worked out" in page
    assert "Broken limits" in page
    for row in solution.certificate.violations:
        assert row["row"] in page


def test_wide_programs_take_the_method_that_looks_at_the_clock(monkeypatch):
    assert wide_options(1000, 100_000) == {"solver": "ipm"}
    assert wide_options(1000, 40_000) == wide_options(10_000, 100_000) == {}
    given = _recorded(monkeypatch, program)
    monkeypatch.setattr("jaxcampaign.relaxations.simplex._WIDE", 50)
    problem = jc.Campaign(_options(), budget=900.0)
    relaxed = program.CoreProgram.whole(problem, problem.mean[None]).solve(integer=False)
    program.CoreProgram.whole(problem, problem.mean[None]).solve(integer=True)
    assert [options.get("solver") for options in given] == ["ipm", None]
    monkeypatch.setattr("jaxcampaign.relaxations.simplex._WIDE", 5000)
    other = program.CoreProgram.whole(problem, problem.mean[None]).solve(integer=False)
    assert relaxed.value == pytest.approx(other.value)
    assert problem.proven_bound(relaxed.multipliers(problem, np.zeros(0))) == pytest.approx(
        relaxed.value
    )


def test_a_branch_and_bound_without_a_plan_in_time_packs_one(monkeypatch):
    solve = program.CoreProgram.solve

    def stopped(self, *, integer, **options):
        found = solve(self, integer=integer, **options)
        return replace(found, chosen=None, finished=False, bound=np.inf) if integer else found

    monkeypatch.setattr(program.CoreProgram, "solve", stopped)
    problem = jc.Campaign(_options(), budget=3000.0, constraints=[jc.AtLeast(1, per="event_id")])
    c = jc.solve(problem, jc.MixedInteger()).certificate
    assert c.feasible and 0.8 * c.bound < c.value <= c.bound
