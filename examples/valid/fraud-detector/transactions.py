"""Synthetic card transactions: seeded, so that everybody gets the same ones.

No row describes a person. The shapes follow what card fraud looks like in practice: most fraud is
done without the card, far from home, at risky merchants, in bursts, with amounts unlike the
customer's usual ones; some of it looks quite ordinary, and some honest customers behave oddly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FEATURES = (
    "amount",
    "amount_to_average",
    "hour",
    "merchant_risk",
    "account_age_days",
    "transactions_last_24h",
    "distance_from_home_km",
    "card_present",
    "failed_attempts_last_24h",
)
CLASSES = ("legitimate", "fraud")
AGE_GROUPS = ("18-29", "30-59", "60+")


@dataclass(frozen=True)
class Transactions:
    """`rows` (n x 9 floats, columns as in FEATURES), `labels` (n: 0 or 1), `age_groups` (n)."""

    rows: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    age_groups: np.ndarray[Any, Any]


def generate(count: int, seed: int, *, inflation: float = 1.0) -> Transactions:
    """`count` transactions, a quarter of them fraud (banks oversample it for training, too).

    `inflation` multiplies all amounts: a later month is never quite like the one before.
    """
    rng = np.random.default_rng(seed)
    fraud = rng.random(count) < 0.25
    age = rng.choice(3, size=count, p=[0.27, 0.50, 0.23])
    # One in twenty frauds imitates the customer, one in thirty honest purchases looks like fraud.
    odd = np.where(fraud, rng.random(count) > 1 / 20, rng.random(count) < 1 / 30)

    average = rng.lognormal(np.log(np.choose(age, [28.0, 46.0, 40.0])), 0.5)
    ratio = rng.lognormal(np.where(odd, 1.0, -0.1), np.where(odd, 0.8, 0.5))
    night = rng.random(count) < np.where(odd, 0.45, np.choose(age, [0.14, 0.08, 0.04]))
    hour = np.where(night, rng.integers(0, 6, count), rng.integers(6, 24, count))
    columns = (
        np.clip(average * ratio * inflation, 0.5, 25_000).round(2),
        np.clip(ratio, 0.01, 100).round(2),
        hour,
        np.where(odd, rng.beta(3.5, 3, count), rng.beta(2, 6, count)).round(3),
        np.clip(rng.gamma(1.6, np.choose(age, [420, 1100, 1700])), 1, 15_000).round(),
        np.clip(rng.poisson(np.where(odd, 6.5, 2.2)), 0, 200),
        np.clip(rng.lognormal(np.where(odd, 4.6, 1.8), 1.2), 0, 20_000).round(1),
        rng.random(count) < np.where(odd, 0.22, np.choose(age, [0.55, 0.62, 0.72])),
        np.clip(rng.poisson(np.where(odd, 1.3, 0.12)), 0, 50),
    )
    return Transactions(
        rows=np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1),
        labels=fraud.astype(np.int64),
        age_groups=np.array(AGE_GROUPS)[age],
    )
