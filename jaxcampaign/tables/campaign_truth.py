"""The truth behind a synthetic campaign: what any post brings, exactly, and by which part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError

DAY = np.timedelta64(86_400_000_000, "us")
BASE = 40.0
SCALE_I, SCALE_H, SCALE_M = 4.0, 4.0, 3.0  # deviation of g_I; nominal of g_H; deviation of g_M
NOISE = 4.0
HALF_LIFE_DAYS = 45.0
_OWN, _PAIR = 1.4, 0.2  # how much of past success of an influencer, and of a pair, persists
_MOST = 6.0  # what past success can add at most
_PRIOR = 1.0  # outcomes that indifference counts for
_YEAR_DAYS = 365.2425

PARTS = ["f", "sigma", "g_I", "g_H", "g_M", "interaction"]


@dataclass(frozen=True, eq=False)
class Traits:
    """Coefficients and attributes in codes: I influencers, C content types, E events."""

    genre: np.ndarray  # i64[I]
    location: np.ndarray  # i64[I]
    log_followers: np.ndarray  # f64[I], standardised
    rate: np.ndarray  # f64[I], standardised engagement rate
    event_genre: np.ndarray  # i64[E]
    event_location: np.ndarray  # i64[E]
    event_type: np.ndarray  # i64[E]
    event_scale: np.ndarray  # f64[E], log, standardised
    event_date: np.ndarray  # datetime64[us, E]
    content: np.ndarray  # f64[C], appeal of each content type
    content_by_type: np.ndarray  # f64[C, T], appeal by type of event
    trend: np.ndarray  # f64[C], change of the appeal per year
    noise: np.ndarray  # f64[C], log of the relative noise
    fair_price: np.ndarray  # f64[I, C]
    popularity: np.ndarray  # f64[W, G, L], index published each week
    published: np.ndarray  # datetime64[us, W]
    origin: np.datetime64

    def noise_of(self, i: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Log of the relative noise of an influencer's content, f64[N]."""
        return self.noise[c] - 0.15 * np.tanh(self.log_followers[i])

    def raw_own(
        self, i: np.ndarray, c: np.ndarray, e: np.ndarray, posted: np.ndarray, price: np.ndarray
    ) -> np.ndarray:
        """What influencer, content, event, time and price contribute, before scaling; f64[N]."""
        before = (self.event_date[e] - posted) / DAY
        hour = (posted - posted.astype("datetime64[D]")) / np.timedelta64(1, "h")
        years = (posted - self.origin) / DAY / _YEAR_DAYS
        return (
            0.15 * np.tanh(self.log_followers[i])
            + 0.1 * self.rate[i]
            + 0.6 * self.content[c]
            + 0.4 * self.content_by_type[c, self.event_type[e]]
            + self.trend[c] * years
            + 0.5 * np.tanh(self.event_scale[e])
            + 0.6 * (self.genre[i] == self.event_genre[e])
            + 0.3 * (self.location[i] == self.event_location[e])
            + 0.9 * np.exp(-0.5 * ((before - 2.0) / 1.5) ** 2)
            + 0.3 * np.sin(2 * np.pi * (hour - 13.0) / 24.0)
            + 0.5 * np.tanh(np.log(np.maximum(price, 1e-9) / self.fair_price[i, c]))
        )

    def raw_market(self, e: np.ndarray, posted: np.ndarray, cut: np.ndarray) -> np.ndarray:
        """What season and market contribute, before scaling; f64[N]."""
        week = np.searchsorted(self.published, cut) - 1  # published strictly before the cut-off
        index = self.popularity[np.maximum(week, 0), self.event_genre[e], self.event_location[e]]
        day = (posted - posted.astype("datetime64[Y]")) / DAY
        season = np.sin(2 * np.pi * (day / _YEAR_DAYS - 0.2))
        return np.tanh(index) + 0.6 * season


@dataclass(frozen=True, eq=False)
class Scaling:
    """What makes g_I and g_M centred, with their deviations, over the posts of history."""

    mean_own: float
    sd_own: float
    mean_market: float
    sd_market: float
    non_additive: float

    def parts(
        self, own: np.ndarray, market: np.ndarray, memory: Memory, noise: np.ndarray
    ) -> pd.DataFrame:
        """f, sigma, g_I, g_H, g_M and interaction of N posts."""
        z_own = (own - self.mean_own) / self.sd_own
        z_market = (market - self.mean_market) / self.sd_market
        remembered = _MOST * np.tanh((_OWN * memory.own + _PAIR * memory.pair) / _MOST)
        mixed = z_own * (z_market + np.tanh(remembered / SCALE_H)) / np.sqrt(1.5)
        additive = np.sqrt(SCALE_I**2 + SCALE_H**2 + SCALE_M**2)
        share = np.sqrt(self.non_additive / (1.0 - self.non_additive))
        interaction = share * additive * mixed
        g_I, g_M = SCALE_I * z_own, SCALE_M * z_market
        sigma = NOISE * np.exp(noise) * (0.85 + 0.3 / (1.0 + memory.weight))
        f = BASE + g_I + remembered + g_M + interaction
        return pd.DataFrame(
            {
                "f": f,
                "sigma": sigma,
                "g_I": g_I,
                "g_H": remembered,
                "g_M": g_M,
                "interaction": interaction,
            }
        )


@dataclass(frozen=True, eq=False)
class Memory:
    """What past outcomes say about N posts: z of the influencer, z of the pair, sum of weights."""

    own: np.ndarray
    pair: np.ndarray
    weight: np.ndarray


class Past:
    """Running sums of known outcomes, whose weights halve in `HALF_LIFE_DAYS`."""

    def __init__(self, shape: tuple[int, ...], origin: np.datetime64):
        n_influencers, self._n_contents = shape
        self._sum = np.zeros(n_influencers * self._n_contents)
        self._weight = np.zeros_like(self._sum)
        self._now = origin

    def learn(self, i: np.ndarray, c: np.ndarray, known: np.ndarray, excess: np.ndarray) -> None:
        """Adds outcomes less `BASE`, known no later than the time to be asked about next."""
        pair = i * self._n_contents + c
        weight = 2.0 ** ((known - self._now) / DAY / HALF_LIFE_DAYS)
        size = len(self._sum)
        self._sum += np.bincount(pair, weight * excess, size)
        self._weight += np.bincount(pair, weight, size)

    def move(self, now: np.datetime64) -> None:
        """Lets the weights fade until `now`."""
        fade = 2.0 ** ((self._now - now) / DAY / HALF_LIFE_DAYS)
        self._sum *= fade
        self._weight *= fade
        self._now = now

    def recall(self, i: np.ndarray, c: np.ndarray) -> Memory:
        """Shrunken means, z = sum w (y - BASE) / (sum w + 1), as of now."""
        sums = self._sum.reshape(-1, self._n_contents)
        weights = self._weight.reshape(-1, self._n_contents)
        weight = weights.sum(axis=1)
        return Memory(
            own=(sums.sum(axis=1) / (weight + _PRIOR))[i],
            pair=(sums / (weights + _PRIOR))[i, c],
            weight=weight[i],
        )


@dataclass(frozen=True, eq=False)
class CampaignTruth:
    """Exact mean, deviation and parts of every post of a synthetic campaign.

    Attributes:
      base: the constant of f.
      history: one row per row of history, in its order: f, sigma, g_I, g_H, g_M, interaction.
    """

    base: float
    history: pd.DataFrame
    _tables: dict[str, pd.DataFrame]
    _traits: Traits
    _scaling: Scaling

    def of(self, options: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
        """The same columns for options planned at one cut-off, in their order.

        Args:
          options: N rows of influencer_id, content_type, event_id, posted_at and price.
          as_of: planning cut-off, aware; only outcomes and indices known before it count.

        Raises:
          InputError: ids that the campaign lacks.
        """
        traits, cut = self._traits, as_of.tz_convert("UTC").tz_localize(None).to_datetime64()
        i = _places(options["influencer_id"], self._tables["influencers"]["influencer_id"])
        c = _places(options["content_type"], self._tables["prices"]["content_type"])
        e = _places(options["event_id"], self._tables["events"]["event_id"])
        posted = options["posted_at"].to_numpy("datetime64[us]")
        past = Past(traits.fair_price.shape, origin=cut.astype("datetime64[us]"))
        history = self._tables["history"]
        known = history["outcome_known_at"].to_numpy("datetime64[us]")
        seen = known < cut
        past.learn(
            _places(history["influencer_id"], self._tables["influencers"]["influencer_id"])[seen],
            _places(history["content_type"], self._tables["prices"]["content_type"])[seen],
            known[seen],
            history["engagement"].to_numpy()[seen] - BASE,
        )
        own = traits.raw_own(i, c, e, posted, options["price"].to_numpy(float))
        market = traits.raw_market(e, posted, np.full(len(e), cut, "datetime64[us]"))
        return self._scaling.parts(own, market, past.recall(i, c), traits.noise_of(i, c))


def _places(values: pd.Series, known: pd.Series) -> np.ndarray:
    """i64[N], the place of each value among the sorted distinct known ones."""
    index = pd.Index(known.unique()).sort_values()
    if isinstance(values.dtype, pd.CategoricalDtype):
        place = index.get_indexer(values.cat.categories.astype(object))[values.cat.codes]
    else:
        place = index.get_indexer(values)
    unknown = np.flatnonzero(place < 0)
    if unknown.size:
        raise InputError(
            "not of this campaign",
            table="options",
            column=str(values.name),
            rows=unknown.tolist(),
            value=str(values.iloc[unknown[0]]),
            remedy="ask about options of the same synthetic campaign",
        )
    return place
