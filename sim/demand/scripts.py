"""Requests that come at instants known beforehand, whatever the service does: API clients, and replayed recordings."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field

from sim.demand.recordings.trace import Trace
from sim.errors import BadInput
from sim.model.streams import CLIENT, COPY, draws, normal, series
from sim.schema import Strict, sourced
from sim.units import Instant, Plain, Rate, Seconds, Whole

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ANY = -1  # the feature, or the number of images, is drawn as for all people
MOST = 1e8  # asks of one recording in a run: gigabytes, and hours
MOST_CLIENTS = 100_000  # of one source in a run: seconds; the sum of more is no longer bursty


@dataclass(frozen=True)
class Script:
    """One source's asks before the horizon, as arrays in order of time.

    `person` numbers this source's people from 0. `kind` indexes what was recorded (ANY: unknown), `images` is how many
    a recording asks for (ANY: as the feature says).
    """

    instants: Floats
    person: Ints
    kind: Ints
    images: Ints


def in_order_of_time(instants: Floats, person: Ints, kind: Ints, images: Ints) -> Script:
    """A script of asks that come in any order; those of one instant stand in order of person."""
    order = np.lexsort((person, instants))
    return Script(instants[order], person[order], kind[order], images[order])


class Source(Strict):
    """The fields that clients and recordings have in common."""

    name: str = ""
    from_: Instant = Field(default=0.0, alias="from", description="when it begins")
    account_age: Seconds = Field(default=365 * 86400.0, description="age of the accounts behind it")
    tier: str = Field(default="", description="the tier it belongs to; drawn by the tiers' shares if empty")
    feature: str = Field(default="", description="the feature it requests; drawn by the features' shares if empty")
    retries: bool = Field(default=False, description="whether a failed request is retried, as people do")


class Clients(Source):
    """Programs that call an API: each a renewal process with Gamma gaps, whether or not answers come.

    Clients differ: their parts of the total are lognormal, and the total is always `clients` times `rate`. ServeGen's
    35 image clients have a rate-weighted CV of 2.2, and the top one makes 13.5 % of all requests, the top ten 83 %.
    """

    kind: Literal["clients"]
    clients: Annotated[Whole, Field(ge=1, le=10**9)]
    rate: Annotated[Rate, Field(gt=0, allow_inf_nan=False)] = Field(
        description="mean rate of one client; all together make `clients` times as many requests"
    )
    cv: Annotated[Plain, Field(ge=0.05, le=20)] = sourced(
        2.2,
        "coefficient of variation of the gaps; 1 is a Poisson process",
        measured="ServeGen, image clients: rate-weighted CV 2.2",
    )
    skew: Annotated[Plain, Field(ge=0, le=5)] = sourced(
        1.5,
        "sigma of the logarithm of the clients' parts of the total",
        fitted="ServeGen: the top client of 35 makes 13.5 %",
    )
    lasting: Seconds = Field(default=math.inf, json_schema_extra={"default": "never ends"})

    def script(self, number: int, *, begins: float, horizon: float, scale: float, seed: int) -> Script:
        """Their asks in [0, horizon), for a slice `scale` of the clients; `number` names the random stream.

        A slice holds whole clients, at least one, at a rate that makes theirs together the slice's. Raises
        BadInput for more clients than a run can hold.
        """
        count = max(1, round(self.clients * scale))
        if count > MOST_CLIENTS:
            expected = f"at most {MOST_CLIENTS:,} in the slice; a wave of people, or a smaller 'scale'"
            message = "these are more clients than a run can hold"
            raise BadInput(message, key="demand.clients", value=self.clients, expected=expected)
        rate = self.rate * (self.clients * scale / count)
        end = min(horizon, begins + self.lasting)
        begins = max(begins, 0.0)  # as busy at its first instant as ever: what was before leaves no trace
        entities = [(number << 32) + client for client in range(count)]
        paces = np.exp(self.skew * np.array([normal.direct(seed, CLIENT, entity, 0) for entity in entities]))
        rates = rate * paces / paces.mean()  # whoever is busier than others, the total is as stated
        found = [
            self.gaps(seed, entity, rate, begins, end) for entity, rate in zip(entities, rates.tolist(), strict=True)
        ]
        instants, person = np.concatenate(found), np.repeat(np.arange(count), [len(one) for one in found])
        unknown = np.full(len(instants), ANY)
        return in_order_of_time(instants, person, unknown, unknown)

    def gaps(self, seed: int, entity: int, rate: float, begins: float, end: float) -> Floats:
        """One client's instants, gap after gap."""
        shape = self.cv**-2
        found, last, k = [], begins, 1
        while last < end:
            uniforms = series(seed, CLIENT, entity, k, 256)
            steps = scipy.special.gammaincinv(shape, uniforms) / (shape * rate)
            if k == 1:  # in equilibrium, the rest of a gap is a uniform part of a length-biased one
                part = series(seed, CLIENT, entity, 2**31, 1)[0]
                steps[0] = part * scipy.special.gammaincinv(shape + 1.0, uniforms[0]) / (shape * rate)
            batch = last + np.cumsum(steps)
            found.append(batch)
            last, k = float(batch[-1]), k + 256
        instants = np.concatenate(found) if found else np.empty(0)
        return instants[(instants >= 0) & (instants < end)]


class Replay(Source):
    """A recording, replayed at its recorded instants."""

    kind: Literal["trace"]
    file: str = Field(description="a file written by 'meltpoint demand import', relative to the scenario's")
    times: Annotated[Plain, Field(ge=0, le=1e4)] = Field(
        default=1.0, description="below 1 a part of the people (of the requests where no people are known); 2 is twice"
    )
    spread: Annotated[Seconds, Field(allow_inf_nan=False)] = Field(
        default=60.0,
        description="copies beyond the first come later by up to this, so that they do not come in lockstep",
    )
    loop: bool = Field(default=False, description="begin again at its end, until the horizon")
    features: dict[str, str] = Field(default={}, description="the feature for each kind that was recorded")
    images: bool = Field(default=False, description="ask for as many images as were recorded")

    def script(self, trace: Trace, number: int, *, begins: float, horizon: float, scale: float, seed: int) -> Script:
        """Its asks in [0, horizon). The first copy of every request comes exactly when it was recorded.

        Raises BadInput for more asks than a run can hold.
        """
        times = self.times * scale
        laps = self.laps(trace, begins, horizon, times)
        people = int(trace.user.max()) + 1 if len(trace.user) else 0
        parts = []
        for copy in range(math.ceil(times)):
            person = trace.user + copy * people
            keyed = (np.int64(number) << 40) + person
            keep = draws(seed, COPY, keyed, 0) < times - copy
            later = self.spread * draws(seed, COPY, keyed, 1) if copy else np.zeros(len(person))
            instants = (begins + laps * trace.length)[:, None] + trace.times + later
            lap, row = np.nonzero(keep & (instants >= 0) & (instants < horizon))
            images = trace.images[row].astype(np.int64) if self.images else np.full(len(row), ANY)
            parts.append((instants[lap, row], person[row], trace.kind[row].astype(np.int64), images))
        if not parts:
            return Script(np.empty(0), *(np.empty(0, dtype=np.int64) for _ in range(3)))
        return in_order_of_time(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def laps(self, trace: Trace, begins: float, horizon: float, times: float) -> Ints:
        """The rounds of the recording that fall into the run, counted from 0. Raises BadInput if they are too many."""
        if not begins < horizon:
            return np.empty(0, dtype=np.int64)
        last = (horizon - begins) / trace.length if self.loop else 1.0
        first = min(max((-begins - self.spread) / trace.length - 1.0, 0.0), last) if self.loop else 0.0
        rows = len(trace.times) * (last - first) if self.loop else np.searchsorted(trace.times, horizon - begins)
        if not rows * max(times, 1.0) <= MOST:
            expected = f"at most {MOST:g}: fewer 'times', no 'loop', or a smaller 'scale'"
            message = "this recording makes more requests than a run can hold"
            raise BadInput(message, key="demand.traces", value=self.file, expected=expected)
        return np.arange(math.floor(first), math.ceil(last))
