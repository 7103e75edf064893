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
# # From campaign tables to a certified plan of posts
#
# Which influencers should post what, for which event and when, for 20,000 of budget? First we learn
# what a post brings, with its uncertainty, from past campaigns. Then we buy, under rules, and
# prove how much better any other plan could be.
#
# The world is synthetic and seeded, so every number below is reproduced by running the notebook,
# and in the end the truth can be asked how good the plan really is.

# %%
import numpy as np

import jaxcampaign as jc
from jaxcampaign.report import frontier_figure, group_figure

world = jc.synth_campaign(n_influencers=60, n_events=40, n_future_events=5, n_history=2_000, seed=1)
data = world.database()
data.history.head()

# %% [markdown]
# The same tables could come from `jc.open_database("folder")`, a DuckDB file or a `postgresql://`
# URL. Every outcome carries the time when it became known: nothing newer than the planning
# cut-off is ever looked at.
#
# ## What a post brings
#
# A Flax network with one tower a source (influencer, history, market) and boosted trees on its
# out-of-fold predictions, blended and calibrated.

# %%
model = jc.EffectivenessModel("engagement").fit(data, until=world.as_of, show=False)
model

# %% [markdown]
# How well does such a model predict posts that were planned later than all it learned from? One
# call fits it again on the earlier posts and looks.

# %%
review = model.review(show=False)
assert 0.8 < review.scores["all"]["coverage_90"] <= 1.0
review

# %% [markdown]
# ## What could be bought
#
# One row per influencer, content type, event and posting time that is still to come.

# %%
options = jc.enumerate_options(data, as_of=world.as_of)
outlook = model.predict(options)
parts = outlook.base + outlook.g_I + outlook.g_H + outlook.g_M
assert np.allclose(parts, outlook.mean)
outlook

# %% [markdown]
# ## A plan
#
# Most engagement, less half a deviation a post, for 20,000: at most two posts an influencer, at
# least five an event, and no genre with more than two fifths of the money.

# %%
rules = [
    jc.AtMost(2, per="influencer_id"),
    jc.AtLeast(5, per="event_id"),
    jc.MaxShare(0.4, per="genre", of="spend"),
]
plan = jc.solve(jc.Campaign(outlook, budget=20_000, risk_aversion=0.5, constraints=rules))
assert plan.certificate.feasible
plan

# %%
plan.table().head(10)

# %%
group_figure(plan, "genre")

# %% [markdown]
# **The certificate.** Value and rules were recomputed in float64 by code that knows no solver.
# Lagrangian multipliers prove a bound whatever their values are, also recomputed; branch and bound
# says that no plan is better than a lower one still. The certificate keeps the two apart.

# %%
certificate = plan.certificate
assert certificate.value <= certificate.bound
print(f"value {certificate.value:,.2f}, gap {certificate.gap:.3%}")
print(f"bound of multipliers {certificate.rechecked_bound:,.2f}")
print("bound of branch and bound", certificate.solver_bound)
plan.shadow_prices()

# %% [markdown]
# ## Value against budget
#
# What would more or less money bring? Each point is a plan of its own, with its own bound, and the
# search for each starts from the prices of the one before. A gap of .2 % is good enough here.

# %%
problem = plan.problem
budgets = [8_000, 14_000, 20_000, 26_000, 32_000]
curve = jc.frontier(problem, jc.DualDecomposition(gap=2e-3), budgets=budgets)
assert (curve.table()["value"] <= curve.table()["bound"]).all()
frontier_figure(curve, unit="engagement")

# %%
curve.table()[["budget", "posts", "spend", "value", "bound", "gap", "price of budget"]]

# %% [markdown]
# ## What it really brings
#
# Here the truth is known. The plan is compared with the one that perfect knowledge would have
# bought under the same rules, and with what was predicted for the chosen posts: choosing the
# best-looking ones invites disappointment (the winner's curse).

# %%
truth = world.truth.of(options, as_of=world.as_of)["f"].to_numpy()
known = options.assign(mean=truth, std=0.0)
perfect = jc.solve(jc.Campaign(known, budget=20_000, constraints=rules))
realised = truth[plan.selection].sum()
predicted = outlook.mean[plan.selection].sum()
print(f"realised / perfect knowledge: {realised / perfect.certificate.value:.1%}")
print(f"realised / predicted:         {realised / predicted:.1%}")
assert realised <= perfect.certificate.bound * (1 + 1e-9)
