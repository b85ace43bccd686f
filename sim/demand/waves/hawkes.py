"""A self-exciting signup process: each person brings others after a while, who bring others in turn."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike
from pydantic import Field

from sim.demand.waves.curves import Steady
from sim.demand.waves.piecewise import Polyline
from sim.demand.waves.wave import FiniteRate, Floats, Span, Wave, clipped
from sim.model.streams import HAWKES, draws
from sim.schema import Strict, sourced
from sim.units import Fraction, Plain, Seconds

NODES = 801
LATEST = 1e10  # seconds; later people are left out
SHIFT = 40  # a wave has room for 2^40 uninvited people
NUMBER, DELAY, CHILD = 0, 1, 2  # the purposes of a person's draws; CHILD + j names their j-th child


@dataclass(frozen=True)
class ExponentialCluster:
    """Expected people by their ancestor's age, the ancestor counted, where delays are exponential (closed form)."""

    branching: float
    mean: float

    def rate_at(self, age: ArrayLike) -> Floats:
        age = np.asarray(age, dtype=float)
        n, pace = self.branching, (1.0 - self.branching) / self.mean
        return np.where(age >= 0, (1.0 - n * np.exp(-pace * np.maximum(age, 0.0))) / (1.0 - n), 0.0)

    def cumulative(self, age: ArrayLike) -> Floats:
        age = clipped(age)
        n, pace = self.branching, (1.0 - self.branching) / self.mean
        return (age + n * np.expm1(-pace * age) / pace) / (1.0 - n)


class ExponentialDelay(Strict):
    """Time from a person to somebody they bring: memoryless."""

    kind: Literal["exponential"]
    mean: Span

    def delays(self, uniforms: Floats) -> Floats:
        return -self.mean * np.log(uniforms)

    def cluster(self, branching: float) -> ExponentialCluster:
        return ExponentialCluster(branching, self.mean)


class PowerLawDelay(Strict):
    """Time from a person to somebody they bring: longer than t with probability (1 + t / cutoff)^-theta (Lomax)."""

    kind: Literal["power law"]
    theta: Annotated[Plain, Field(ge=0.1, le=10)] = sourced(0.4, published="Crane and Sornette 2008: 0.4 +- 0.1")
    cutoff: Span

    def delays(self, uniforms: Floats) -> Floats:
        return self.cutoff * np.expm1(-np.log(uniforms) / self.theta)

    def cluster(self, branching: float) -> Polyline:
        """M of the renewal equation M(t) = 1 + n int_0^t g(s) M(t - s) ds (Feller, vol. 2, ch. XI), on a graded grid.

        M is a straight line between nodes, for which the integral is exact by parts: with d the steps of M, at every
        node sum_j d_j (1 - n + n * mean over cell j of the chance that a delay is longer) = n * (chance it is shorter).
        """
        t = np.append(0.0, np.geomspace(0.01 * self.cutoff, LATEST, NODES - 1))
        ages = np.maximum(t[1:, None] - t[None, :], 0.0)
        longer = self.cutoff * scipy.special.boxcox1p(ages / self.cutoff, 1.0 - self.theta)  # integral of the survival
        mean = (longer[:, :-1] - longer[:, 1:]) / np.diff(t)
        shorter = -np.expm1(-self.theta * np.log1p(t[1:] / self.cutoff))
        steps = scipy.linalg.solve_triangular(
            np.tril(1.0 - branching + branching * mean), branching * shorter, lower=True
        )
        return Polyline(t, 1.0 + np.append(0.0, np.cumsum(steps)))


class Hawkes(Wave):
    """People come at a steady rate of their own accord; each brings a Poisson number of others, of mean `branching`.

    The intensity is rate + sum over all who came of branching g(t - t_i) (Hawkes 1971; as clusters: Hawkes and Oakes
    1974). In the long run it has the mean rate / (1 - branching), and counts have 1 / (1 - branching)^2 times the
    variance of Poisson's. rate_at and cumulative are the expected ones. `times` and the slice of a scenario change how
    many come of their own accord, and so do the hours of a season; whom they bring, they bring at any hour.
    """

    kind: Literal["hawkes"]
    rate: FiniteRate = Field(description="people per time who come without being brought")
    lasting: Seconds = Field(default=math.inf, json_schema_extra={"default": "never ends"})
    branching: Annotated[Fraction, Field(le=0.99)] = Field(description="people that one person brings directly")
    delay: Annotated[ExponentialDelay | PowerLawDelay, Field(discriminator="kind")]

    @cached_property
    def cluster(self) -> ExponentialCluster | Polyline:
        """Expected people whom one uninvited person has brought by an age, themselves counted."""
        return self.delay.cluster(self.branching)

    def rate_at(self, t: ArrayLike) -> Floats:
        t = np.asarray(t, dtype=float)
        return self.rate * (self.cluster.rate_at(t) - self.cluster.rate_at(t - self.lasting))

    def cumulative(self, t: ArrayLike) -> Floats:
        t = clipped(t)
        return self.rate * (self.cluster.cumulative(t) - self.cluster.cumulative(t - self.lasting))

    def inverse(self, n: ArrayLike) -> Floats:
        """By bisection: the sum of two powers or exponentials has no other."""
        n = np.asarray(n, dtype=float)
        low, high = np.zeros(n.shape), np.full(n.shape, LATEST)
        for _ in range(100):
            middle = 0.5 * (low + high)
            later = self.cumulative(middle) <= n
            low, high = np.where(later, middle, low), np.where(later, high, middle)
        return np.where(self.cumulative(LATEST) > n, low, np.inf)

    def uninvited(self) -> Wave:
        return Steady.model_construct(kind="steady", rate=self.rate, lasting=self.lasting)

    def followed(self, instants: Floats, *, number: int, horizon: float, seed: int) -> Floats:
        """Generation by generation. The people that a person brings, and when, depend on that person alone."""
        bounds = scipy.special.pdtr(np.arange(60), self.branching)
        inside = instants < horizon
        key, born = (np.int64(number) << SHIFT) + np.flatnonzero(inside), instants[inside]
        generations = []
        while len(born):
            generations.append(born)
            children = np.searchsorted(bounds, draws(seed, HAWKES, key, NUMBER), side="right")
            parents = [children > j for j in range(int(children.max()))]
            named = [draws(seed, HAWKES, key[some], CHILD + j) for j, some in enumerate(parents)]
            if not named:
                break
            key_of = (np.concatenate(named) * 2.0**53).astype(np.int64) | np.int64(1 << 62)
            later = np.concatenate([born[some] for some in parents])
            later = later + self.delay.delays(draws(seed, HAWKES, key_of, DELAY))
            key, born = key_of[later < horizon], later[later < horizon]
        return np.sort(np.concatenate(generations)) if generations else np.empty(0)
