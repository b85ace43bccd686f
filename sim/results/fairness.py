"""Fairness: who got how much of what they asked for, by tier, and newcomers against people from before."""

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sim.model.request import SERVED
from sim.results.run import Run

COLUMNS = ["people", "asked", "images", "images_per_person", "served_share", "gini", "jain"]
WHY_NOT = "Fairness between people is not known: it needs a row for each person, which only 'record: rows' keeps."


def fairness(run: Run) -> pd.DataFrame | None:
    """One row per group of people; None where no rows of people were recorded (WHY_NOT says so to a reader).

    Groups: all, each tier, newcomers, from before. A person counts who asked for something after the warm-up, or who
    came to sign up and was not let in: the latter got nothing. people, asked and images (requests that were served)
    are of the slice; images_per_person; served_share: the mean over people of served /
    asked; gini and jain: of that ratio over people.
    """
    if run.users.empty:
        return None
    users, requests = run.users, run.requests
    since = requests["arrived"].to_numpy() >= run.manifest["warm_up"]
    first = since & (requests["attempt"].to_numpy() == 0)
    served = since & (requests["outcome"] == SERVED).to_numpy()
    number = requests["user"].to_numpy()
    most = int(max(users["user"].max(), number.max(initial=0))) + 1
    at = users["user"].to_numpy()
    asked, images = (np.bincount(number[np.flatnonzero(mask)], minlength=most)[at] for mask in (first, served))
    shut_out = users["newcomer"].to_numpy() & users["admitted"].isna().to_numpy()
    shut_out &= users["arrives"].to_numpy() < run.horizon
    counts = (asked > 0) | shut_out
    asked, images, tier, newcomer = asked[counts], images[counts], users["tier"][counts], users["newcomer"][counts]
    share = np.minimum(images / np.maximum(asked, 1), 1.0)  # of a wish from before, the image may come in the window
    groups = {"all": np.ones(len(asked), dtype=bool)}
    groups |= {f"{name} tier": (tier == name).to_numpy() for name in run.manifest["tiers"]}
    groups |= {"newcomers": newcomer.to_numpy(), "from before": ~newcomer.to_numpy()}
    rows = {name: of_group(asked[mask], images[mask], share[mask]) for name, mask in groups.items() if mask.any()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis("group")


def of_group(asked: NDArray[np.int64], images: NDArray[np.int64], share: NDArray[np.float64]) -> list[float]:
    """The row of one group, in the order of COLUMNS."""
    people = len(share)
    each = float(images.sum()) / people
    return [people, int(asked.sum()), int(images.sum()), each, float(share.mean()), gini(share), jain(share)]


def gini(values: ArrayLike) -> float:
    """The Gini coefficient of values that are not negative: 0 where all have the same, (n - 1) / n where one has all.

    Half the mean absolute difference between two people over the mean (Gini 1912); nan where nobody has anything.
    """
    numbers = np.sort(np.asarray(values, dtype=float))
    total = numbers.sum()
    if not total > 0:
        return math.nan
    n = len(numbers)
    return float(2 * (np.arange(1, n + 1) * numbers).sum() / (n * total) - (n + 1) / n)


def jain(values: ArrayLike) -> float:
    """Jain's index, (sum x)^2 / (n sum x^2): 1 where all have the same, k / n where k of n share all of it equally.

    Jain, Chiu and Hawe 1984; nan where nobody has anything.
    """
    numbers = np.asarray(values, dtype=float)
    squares = float((numbers * numbers).sum())  # a product of vectors would depend on the threads of its library
    return float(numbers.sum() ** 2 / (len(numbers) * squares)) if squares > 0 else math.nan
