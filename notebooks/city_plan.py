# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From raw tables to a certified city plan
#
# Twelve products share one billboard campaign. Each needs a certain influence on *its* audience.
# Which slots (a board in an hour of the day) should be bought so that all of them get it, at
# least cost, and how do we know that the answer is good?
#
# The city is synthetic and seeded, so every number below is reproduced by running the notebook.

# %%
import tempfile
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import jaxcampaign as jc
from jaxcampaign.report import bound_figure, demand_figure, hours_figure, map_figure

city = jc.synth_city(n_users=600, n_boards=60, n_products=12, days=7, seed=1)
city.checkins.head()

# %% [markdown]
# Ids are text, times are UTC. Boards carry a time zone, so that slots can be hours of the
# *local* day.

# %%
city.billboards.head()

# %% [markdown]
# ## Who can see which slot
#
# A user can be influenced by a slot when they have a check-in within 100 m of the board during its
# hour. How likely that is follows from the size of the panel, and from repeated visits, which we
# take to be independent exposures.

# %%
influence = jc.build_influence(
    city.checkins,
    city.billboards,
    radius_m=100,
    slot_minutes=60,
    clock="local",
    link=jc.IndependentExposures(),
)
assert influence.n_pairs == len(influence.to_pairs())
influence

# %% [markdown]
# ## What is asked
#
# Demands as the literature draws them: each product needs a share of the supply
# $I^* = \sum_s I(\{s\})$.

# %%
products = sorted(city.audiences["product_id"].unique())
demand = jc.experiment_demands(influence.singleton, alpha=0.03, beta=0.03 / 12, seed=1)
problem = jc.CommonSlots(influence, city.audiences, None, dict(zip(products, demand, strict=True)))
problem

# %% [markdown]
# ## Greedy, and something better
#
# Greedy takes the best gain per cost, again and again. `solve` without a solver picks one by the
# size of the problem, and says which: here branch and cut, which is given 15 seconds.

# %%
greedy = jc.solve(problem, jc.Greedy())
plan = jc.solve(problem, key=jax.random.key(0), time_limit=15)
assert plan.certificate.feasible
assert plan.certificate.bound <= plan.certificate.cost <= greedy.certificate.cost
saved = 1 - plan.certificate.cost / greedy.certificate.cost
print(f"{100 * saved:.1f} % cheaper than greedy")
plan

# %% [markdown]
# The plan as a table, the most expensive slots first:

# %%
table = plan.table()
assert len(table) == plan.selection.sum()
assert np.isclose(table["cost"].sum(), plan.certificate.cost)
table.head(8)

# %% [markdown]
# ## Where, for whom, and how good
#
# The chosen boards over the trajectories:

# %%
map_figure(plan, city.checkins, city.billboards)

# %%
demand_figure(plan)

# %%
hours_figure(plan)

# %%
bound_figure(plan)

# %% [markdown]
# ## The proof, by hand
#
# The bound rests on multipliers: a price per demand and a price per inequality
# $q_u(x) \le h_r + G_r x$ on the reach of a user. Whatever non-negative values they take,
#
# $$\mu \cdot k - \lambda \cdot h + \sum_s \min(0, c_s - (G^\top\lambda)_s)
#   + \sum_u \min\Big(0, \sum_{r \ni u} \lambda_r - \sum_j \mu_j a_{ju}\Big)$$
#
# is at most the cost of every feasible plan. Branch and cut proves its bound by many such cases,
# one for each leaf of its tree; the linear relaxation by one, which a few lines of NumPy check:

# %%
relaxed = jc.LinearRelaxation(rounding=False).solve(problem)
proof = relaxed.multipliers
h, G = proof.cuts.coefficients(influence)
price_of_user = np.bincount(proof.cuts.user, weights=proof.cut, minlength=influence.n_users)
by_hand = (
    proof.demand @ problem.demand
    - proof.cut @ h
    + np.minimum(0, problem.cost - G.T @ proof.cut).sum()
    + np.minimum(0, price_of_user - problem.objective.audience.T @ proof.demand).sum()
)
assert np.isclose(by_hand, relaxed.bound, rtol=1e-7)
assert (proof.demand >= 0).all()
assert (proof.cut >= 0).all()
by_hand

# %% [markdown]
# Other multipliers prove less, but never something false:

# %%
rng = np.random.default_rng(0)
for _ in range(100):
    noisy = jc.Multipliers(
        proof.demand * rng.uniform(0.5, 1.5, proof.demand.shape),
        proof.row_upper,
        proof.row_lower,
        proof.cut * rng.uniform(0.5, 1.5, proof.cut.shape),
        proof.cuts,
    )
    assert jc.lagrangian_bound(problem, noisy) <= plan.certificate.cost

# %% [markdown]
# ## Too much asked
#
# Demands that all slots together cannot meet are an answer, not an error: which products fall
# short, by how much, and the best that can be done.

# %%
everything = problem.objective.reference(np.ones(problem.n_items))
greedy_demand = dict(zip(products, 1.2 * everything, strict=True))
partial = jc.solve(
    jc.CommonSlots(influence, city.audiences, None, {products[0]: greedy_demand[products[0]]}),
    time_limit=5,
)
assert partial.status == "infeasible"
partial.certificate.reasons

# %% [markdown]
# ## The other question: most influence for a budget
#
# With half the money of the plan above, and every product worth the same:

# %%
budget = plan.certificate.cost / 2
most = jc.solve(jc.BudgetedSlots(influence, city.audiences, budget=budget), time_limit=15)
assert most.certificate.feasible
assert most.certificate.cost <= budget
assert most.certificate.value <= most.certificate.bound
most

# %% [markdown]
# ## A page for the client
#
# One file, nothing to install: `write_report` puts all of the above on a page.

# %%
with tempfile.TemporaryDirectory() as folder:
    page = Path(folder) / "report.html"
    jc.write_report(plan, page, checkins=city.checkins, billboards=city.billboards)
    assert page.stat().st_size > 50_000
pd.DataFrame([plan.summary()]).T
