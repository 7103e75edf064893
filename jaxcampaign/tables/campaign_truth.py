"""The truth behind a synthetic campaign: what any post brings, exactly, and by which part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError

DAY = np.timedelta64(86_400_000_000, "us")
BASE = 40.0
SCALE_I, SCALE_H, SCALE_M = 3.5, 3.0, 3.0  # deviation of g_I; nominal of g_H; deviation of g_M
NOISE = 4.0
HALF_LIFE_DAYS = 45.0
_MOMENTUM, _SPILL = 5.0, 2.0  # what form, own or of overlapping audiences, adds at most
_EXPERIENCE, _FATIGUE = 5.0, 5.0  # what practice with a content adds, and load takes, at most
_FORM = 3.0  # distance from the lasting level that is a lot
_PRACTICE = 6.0  # outcomes of a content type after which half of its practice is gained
_LOAD = 6.0  # recent outcomes at which half of the fatigue is felt
_PRIOR = 2.0  # outcomes that indifference counts for
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
    appeal: np.ndarray  # f64[I], lasting appeal, alike where audiences overlap
    overlap: Overlaps
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
            self.appeal[i]
            + 0.15 * np.tanh(self.log_followers[i])
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
        remembered = memory.effect()
        mixed = z_own * (z_market + np.tanh(remembered / SCALE_H)) / np.sqrt(1.5)
        additive = np.sqrt(SCALE_I**2 + SCALE_H**2 + SCALE_M**2)
        share = np.sqrt(self.non_additive / (1.0 - self.non_additive))
        interaction = share * additive * mixed
        g_I, g_M = SCALE_I * z_own, SCALE_M * z_market
        sigma = NOISE * np.exp(noise) * (0.85 + 0.3 / (1.0 + memory.load))
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
class Overlaps:
    """Shares of the audience of an influencer that others have too, each pair in both directions.

    Attributes:
      receiver: i64[E].
      sender: i64[E].
      share: f64[E], weights of the senders; those of one receiver sum to 1.
    """

    receiver: np.ndarray
    sender: np.ndarray
    share: np.ndarray

    @classmethod
    def between(cls, first: np.ndarray, second: np.ndarray, weight: np.ndarray, n: int) -> Overlaps:
        """The overlaps of pairs among n influencers."""
        receiver, sender = np.concatenate([first, second]), np.concatenate([second, first])
        both = np.concatenate([weight, weight])
        total = np.bincount(receiver, both, n)
        share = np.divide(both, total[receiver], out=np.zeros_like(both), where=both > 0)
        return cls(receiver, sender, share)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """f64[n], the mean of f64[n] over those who share an audience; 0 where nobody does."""
        return np.bincount(self.receiver, self.share * values[self.sender], len(values))


@dataclass(frozen=True, eq=False)
class Memory:
    """The state of past campaigns that N posts start from.

    Attributes:
      form: recent level of the influencer's outcomes, less the lasting one.
      around: mean form of those who share the audience.
      practice: outcomes of the influencer with the content type.
      load: outcomes of the influencer, weights halving with age.
    """

    form: np.ndarray
    around: np.ndarray
    practice: np.ndarray
    load: np.ndarray

    def effect(self) -> np.ndarray:
        """f64[N], g_H: momentum, spill-over, practice and fatigue."""
        return (
            _MOMENTUM * np.tanh(self.form / _FORM)
            + _SPILL * np.tanh(self.around / (_FORM / 2))
            + _EXPERIENCE * self.practice / (self.practice + _PRACTICE)
            - _FATIGUE * self.load**2 / (self.load**2 + _LOAD**2)
        )


class Past:
    """Running sums of known outcomes, lasting and with weights that halve in `HALF_LIFE_DAYS`."""

    def __init__(self, shape: tuple[int, ...], overlap: Overlaps, origin: np.datetime64):
        n_influencers, self._n_contents = shape
        self._overlap = overlap
        self._count = np.zeros(shape)
        self._total, self._sum, self._weight = np.zeros((3, n_influencers))
        self._now = origin

    def learn(self, i: np.ndarray, c: np.ndarray, known: np.ndarray, excess: np.ndarray) -> None:
        """Adds outcomes less `BASE`, known no later than the time to be asked about next."""
        weight = 2.0 ** ((known - self._now) / DAY / HALF_LIFE_DAYS)
        size = len(self._sum)
        self._total += np.bincount(i, excess, size)
        self._sum += np.bincount(i, weight * excess, size)
        self._weight += np.bincount(i, weight, size)
        self._count += np.bincount(i * self._n_contents + c, minlength=self._count.size).reshape(
            self._count.shape
        )

    def move(self, now: np.datetime64) -> None:
        """Lets the weights fade until `now`."""
        fade = 2.0 ** ((self._now - now) / DAY / HALF_LIFE_DAYS)
        self._sum *= fade
        self._weight *= fade
        self._now = now

    def recall(self, i: np.ndarray, c: np.ndarray) -> Memory:
        """The state as of now; lasting levels are shrunken towards `BASE`, recent ones to these."""
        lasting = self._total / (self._count.sum(axis=1) + _PRIOR)
        form = (self._sum - self._weight * lasting) / (self._weight + _PRIOR)
        return Memory(
            form=form[i],
            around=self._overlap.mean(form)[i],
            practice=self._count[i, c],
            load=self._weight[i],
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
        past = Past(traits.fair_price.shape, traits.overlap, cut.astype("datetime64[us]"))
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
