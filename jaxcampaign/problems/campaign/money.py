"""Money in whole cents: sums without rounding, and what a chosen option is paid at least."""

from __future__ import annotations

import numpy as np

CENT = 0.01
"""What is paid out for a part of a price is a multiple of it, and at least one."""
# Share of itself by which an amount may be off whole cents, by the rounding of a few operations;
# and of one.
_ROUNDING, _ULPS = 1e-12, 4


def in_cents(money: np.ndarray) -> np.ndarray | None:
    """Amounts as whole numbers of cents, float64; None where one is no whole number of them."""
    cents = np.rint(100 * money)
    with np.errstate(invalid="ignore"):
        near = np.abs(100 * money - cents) <= _ULPS * np.finfo(np.float64).eps * np.abs(cents)
    return cents if near.all() else None


def down_to_cents(money: np.ndarray) -> np.ndarray:
    """The whole cents in amounts of money, as numbers of cents; what rounding took is given back.

    Amounts that are whole cents but for their rounding are those cents.
    """
    exact = 100 * money
    near = np.rint(exact)
    with np.errstate(invalid="ignore"):
        is_near = np.abs(exact - near) <= _ROUNDING * np.maximum(np.abs(near), 1.0)
    return np.where(is_near, near, np.floor(exact))


def up_to_cents(money: np.ndarray) -> np.ndarray:
    """The same with cents that have begun."""
    return -down_to_cents(-money)


def least_payment(price: np.ndarray, share: float) -> np.ndarray:
    """What a chosen option gets at least, float64[N], for the least share of its price.

    Begun cents are paid, and one at least: what is counted as a post is paid for. The whole price
    is paid as it is, whole cents or not.
    """
    if share == 1:
        return price
    return np.minimum(np.maximum(up_to_cents(share * price) / 100, CENT), price)
