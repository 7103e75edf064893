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
import matplotlib.pyplot as plt
import numpy as np

import jaxcampaign as jc
from jaxcampaign.report import group_figure

world = jc.synth_campaign(
    n_influencers=60, n_events=40, n_future_events=5, n_history=2_000, seed=1
)
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
figure = group_figure(plan, "genre")
figure

# %% [markdown]
# **The certificate.** Value and rules were recomputed in float64 by code that knows no solver. The
# bound is that of Lagrangian multipliers, which holds whatever their values are.

# %%
certificate = plan.certificate
assert certificate.value <= certificate.bound
print(f"value {certificate.value:,.2f}, no plan is worth more than {certificate.bound:,.2f}")
print(f"gap {certificate.gap:.3%}")
plan.shadow_prices()

# %% [markdown]
# ## Value against budget
#
# What would more or less money bring? Each point is a plan of its own, with its own bound.

# %%
budgets = np.linspace(8_000, 32_000, 5)
curve = [
    jc.solve(
        jc.Campaign(
            outlook,
            budget=budget,
            risk_aversion=0.5,
            constraints=[jc.AtMost(2, per="influencer_id")],
        )
    ).certificate
    for budget in budgets
]
fig, axis = plt.subplots(figsize=(6, 3))
axis.plot(budgets, [each.value for each in curve], "o-", label="plan")
axis.plot(budgets, [each.bound for each in curve], "_", label="proven bound", ms=14)
axis.set(xlabel="budget", ylabel="risk-averse engagement")
axis.legend(frameon=False)
fig.tight_layout()

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
