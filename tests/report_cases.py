"""Plans of a small city, certified but not searched for, and a strict reader of pages."""

import base64
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pandas as pd

from jaxcampaign.certificate import certify
from jaxcampaign.influence.matrix import Influence
from jaxcampaign.problems import BudgetedSlots, CommonSlots
from jaxcampaign.solvers import Solution

N_SLOTS, N_USERS, N_BOARDS = 40, 60, 7
HOSTILE = "<script>alert('x')</script>\" onerror=1 $\\frac{1$ & 咖啡\x0b"


def city(n_products, *, seed=0, first_product=None, located=False):
    """Influence, audiences and boards of a small seeded city."""
    rng = np.random.default_rng(seed)
    board = rng.integers(0, N_BOARDS, N_SLOTS)
    start = rng.integers(0, 96, N_SLOTS) * 15
    boards = pd.DataFrame(
        {
            "board_id": [f"b{i}" for i in range(N_BOARDS)],
            "lat": 40.7 + 0.02 * rng.standard_normal(N_BOARDS),
            "lon": -74.0 + 0.02 * rng.standard_normal(N_BOARDS),
        }
    )
    slots = pd.DataFrame(
        {
            "slot_id": [f"s{i:03d}" for i in range(N_SLOTS)],
            "board_id": boards["board_id"].to_numpy()[board],
            "start_min": start,
            "end_min": start + 15,
            "cost": rng.integers(10, 400, N_SLOTS) / 8,
        }
    )
    if located:
        slots = slots.assign(lat=boards["lat"].to_numpy()[board], lon=boards["lon"][board].values)
    slot, user = np.divmod(np.arange(N_SLOTS * N_USERS), N_USERS)
    prob = np.where(rng.random(slot.size) < 0.15, rng.uniform(0.05, 0.6, slot.size), 0.0)
    influence = Influence.from_arrays(slot, user, prob, slots, np.arange(N_USERS).astype(str))
    names = [f"product {j:03d}" for j in range(n_products)]
    names[0] = first_product or names[0]
    interested = rng.random((n_products, N_USERS)) < 0.5
    product, member = np.nonzero(interested | (np.arange(N_USERS) == 0))
    audiences = pd.DataFrame(
        {"product_id": np.array(names, object)[product], "user_id": member.astype(str)}
    )
    return influence, audiences, boards


def answered(problem, chosen, *, solver_bound=None, status=None):
    """A solution with the given slots, certified but not searched for."""
    selection = np.zeros(problem.n_items, bool)
    selection[chosen] = True
    certificate = certify(problem, selection, solver_bound=solver_bound)
    status = status or ("feasible" if certificate.feasible else "infeasible")
    return Solution(problem, selection, certificate, None, status, "Chosen()", {"seconds": 1.5})


def common(n_products=12, *, chosen=range(0, N_SLOTS, 2), demand_share=0.9, **kwargs):
    """A plan for the common problem; demands are a share of what it reaches."""
    influence, audiences, boards = city(n_products, **kwargs)
    reached = answered(CommonSlots(influence, audiences, None, 0.0), chosen).certificate
    demand = dict(zip(reached.product_ids, demand_share * reached.achieved, strict=True))
    problem = CommonSlots(influence, audiences, None, demand)
    return answered(problem, chosen, solver_bound=0.8 * reached.cost), boards


def budgeted(n_products=12, *, chosen=range(5), **kwargs):
    """A plan for the budgeted problem."""
    influence, audiences, boards = city(n_products, **kwargs)
    problem = BudgetedSlots(influence, audiences, None, budget=600, max_slots=8)
    return answered(problem, chosen), boards


def infeasible():
    """One product of three asks for more than there is."""
    influence, audiences, boards = city(3, first_product=HOSTILE)
    reached = answered(CommonSlots(influence, audiences, None, 0.0), range(N_SLOTS)).certificate
    demand = dict(zip(reached.product_ids, reached.achieved * 0.5, strict=True))
    demand[HOSTILE] *= 3
    return answered(CommonSlots(influence, audiences, None, demand), range(N_SLOTS)), boards


def checkins(boards, n=500, seed=1):
    rng = np.random.default_rng(seed)
    board = rng.integers(0, len(boards), n)
    return pd.DataFrame(
        {
            "lat": boards["lat"].to_numpy()[board] + 0.01 * rng.standard_normal(n),
            "lon": boards["lon"].to_numpy()[board] + 0.01 * rng.standard_normal(n),
        }
    )


class Page(HTMLParser):
    """Parses a page strictly: every element is closed, in order."""

    void = frozenset({"img", "meta", "source", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def images(self):
        links = [value for _, name, value in self.attributes if name in ("src", "srcset")]
        return [ET.fromstring(base64.b64decode(link.split(",")[1])) for link in links]


def drawn_text(image):
    return [node.text for node in image.iter("{http://www.w3.org/2000/svg}text")]
