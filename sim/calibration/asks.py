"""The requests of a log, or of a run, as arrays with one of a few ends: served, refused, left, timed out, failed."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.demand.recordings.arrivals import FEWEST, on_ticks
from sim.demand.recordings.attempts import REFUSED
from sim.demand.recordings.trace import Trace
from sim.errors import BadInput
from sim.model.request import ABANDONED, SERVED
from sim.model.request import REFUSED as TURNED_AWAY
from sim.results.run import Run

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
LEFT, TIMED_OUT = (0, 460, 499), (408, 504)  # statuses: the client hung up; the server gave up
AT_ONCE = 0.1  # of the median latency: an answer that is sooner, without a wait, is a refusal at the door
STATUS = {"served": 200.0, "left": 499.0, "timed out": 504.0, "refused": 429.0}


@dataclass(frozen=True)
class Asks:
    """Attempts in order of arrival; float64 (n,) in seconds, nan is unknown.

    arrived: after `start`; lasted: until the answer, or until it ended without one; waited: until service began, or
    until it ended in the queue; server: a number. user, kind: int64 (n,). status: as of HTTP; 0 and 499 have hung up.
    tick: seconds between two ticks of a coarse clock, else 0.
    sizes: side (pixels, the root of an image's area), steps (of denoising) and tokens (of an answer), where logged.
    """

    arrived: Floats
    lasted: Floats
    waited: Floats
    status: Floats
    user: Ints
    kind: Ints
    images: Ints
    server: Floats
    length: float
    named: bool  # users are known
    kinds: tuple[str, ...]
    file: str
    sizes: dict[str, Floats] = field(default_factory=dict)
    tick: float = 0.0

    def __len__(self) -> int:
        return len(self.arrived)

    def size(self, name: str) -> Floats:
        """The side, steps or tokens of each request; nan where it is not logged."""
        return self.sizes.get(name, np.full(len(self), np.nan))

    @property
    def refused(self) -> Mask:
        """Turned away at the door: by status, at once, and without a wait."""
        by_status = np.isin(self.status, REFUSED)
        ok = self.lasted[(self.status >= 200) & (self.status < 400)]
        limit = AT_ONCE * float(np.nanmedian(ok)) if np.isfinite(ok).any() else np.inf
        waited = np.where(np.isfinite(self.waited), self.waited, np.nan_to_num(self.lasted))
        return by_status & (waited <= limit)

    @property
    def left(self) -> Mask:
        return np.isin(self.status, LEFT)

    @property
    def thrown(self) -> Mask:
        """Given up by the server after a wait."""
        return np.isin(self.status, TIMED_OUT) | (np.isin(self.status, REFUSED) & ~self.refused)

    @property
    def served(self) -> Mask:
        return (self.status >= 200) & (self.status < 400)

    @property
    def service(self) -> Floats:
        """Seconds of service of those served; nan where the wait is not known."""
        return np.where(self.served, self.lasted - self.waited, np.nan)


def asks_of(trace: Trace) -> Asks:
    """The rows of a recording that was imported with its attempts. Raises BadInput where no row has a duration."""
    extra, nan = trace.extra, np.full(len(trace.times), np.nan)
    wait, service = extra.get("wait_s", nan), extra.get("service_s", nan)
    lasted = extra.get("duration_s", extra.get("latency_s", nan))
    lasted = np.where(np.isfinite(lasted), lasted, np.nan_to_num(wait) + service)
    lasted = np.where(np.isfinite(lasted), lasted, wait)  # ended in the queue
    if trace.recorded_as == "access-log" and on_ticks(lasted[np.isfinite(lasted)], 1.0):
        lasted = lasted + 0.5  # whole seconds that have passed, as Apache's %T
    if "status" in extra:
        status = np.where(np.isfinite(extra["status"]), extra["status"], np.where(np.isfinite(service), 200.0, np.nan))
    else:
        began = np.isfinite(wait) | np.isfinite(service) | (np.isfinite(wait).mean() <= 0.5)
        status, wait = np.where(began, 200.0, 499.0), np.where(began, wait, lasted)  # over, and never begun
    waited = np.where(np.isfinite(wait), wait, lasted - service)
    return Asks(
        arrived=trace.times,
        lasted=lasted,
        waited=np.where(np.abs(waited) < 1e-9, 0.0, waited),
        status=status,
        user=trace.user,
        kind=trace.kind.astype(np.int64),
        images=trace.images.astype(np.int64),
        server=extra.get("server", nan),
        length=trace.length,
        named=trace.users_known and trace.users < len(trace.times),
        kinds=trace.kinds,
        file=trace.source,
        sizes=sizes_in(extra),
        tick=trace.tick or whole_seconds(trace.times, lasted),
    )


def whole_seconds(arrived: Floats, lasted: Floats) -> float:
    """1 where all stamps are whole seconds, of the start or of the end, although hardly two are the same; else 0."""
    known = np.isfinite(lasted)
    ends = (arrived + lasted)[known]
    return float(any(len(at) >= FEWEST and on_ticks(at, 1.0) for at in (arrived, ends)))


def sizes_in(extra: dict[str, Floats]) -> dict[str, Floats]:
    """The sizes of requests among the further columns of a recording, under the names that formats have for them."""
    found: dict[str, Floats] = {name: extra[name] for name in ("side", "steps", "tokens") if name in extra}
    if "side" not in extra and {"width", "height"} <= set(extra):
        found["side"] = np.sqrt(extra["width"] * extra["height"])
    for name in ("generated_tokens", "output_length"):
        if "tokens" not in found and name in extra:
            found["tokens"] = extra[name]
    return found


def asks_of_run(run: Run) -> Asks:
    """The same of a run with every row; requests that were not over at its end are left out."""
    rows = run.requests
    outcome = rows["outcome"].to_numpy()
    status = np.select(
        [outcome == SERVED, outcome == ABANDONED, rows["reason"] == "expired", outcome == TURNED_AWAY],
        list(STATUS.values()),
        np.nan,
    )
    rows = rows.assign(status=status)[np.isfinite(status)].sort_values(["arrived", "user"], kind="stable")
    names = ("arrived", "started", "dequeued", "finished", "left", "status")
    at = {name: rows[name].to_numpy(dtype=np.float64) for name in names}
    ended = np.select(
        [at["status"] == 200.0, at["status"] == 499.0, at["status"] == 504.0],
        [at["finished"], at["left"], at["dequeued"]],
        at["arrived"],
    )
    began = np.where(np.isfinite(at["started"]) & (at["started"] <= ended), at["started"], ended)
    return Asks(
        arrived=at["arrived"],
        lasted=ended - at["arrived"],
        waited=began - at["arrived"],
        status=at["status"],
        user=rows["user"].to_numpy(dtype=np.int64),
        kind=pd.factorize(rows["feature"])[0].astype(np.int64),
        images=np.ones(len(rows), dtype=np.int64),
        server=np.full(len(rows), np.nan),
        length=run.horizon,
        named=True,
        kinds=tuple(str(name) for name in rows["feature"].unique()) or ("",),
        file="a run",
    )


def figures_of(asks: Asks) -> dict[str, float]:
    """What is held against a run of the fitted scenario: counts, shares and seconds; nan where it is not known."""
    n, served = len(asks), asks.served
    if not n:
        raise BadInput("the log has no requests", file=asks.file)
    lasted, waited = asks.lasted[served], asks.waited[served]
    lasted, waited = lasted[np.isfinite(lasted)], waited[np.isfinite(waited)]
    left = asks.left | asks.thrown
    return {
        "requests": float(n),
        "share served": float(served.mean()),
        "share refused": float(asks.refused.mean()),
        "share that left": float(left.mean()),
        "latency of those served, mean (s)": float(lasted.mean()) if len(lasted) else np.nan,
        "latency of those served, p90 (s)": float(np.percentile(lasted, 90)) if len(lasted) else np.nan,
        "wait of those served, mean (s)": float(waited.mean()) if len(waited) else np.nan,
        "requests in the busiest 5 minutes": float(np.bincount((asks.arrived // 300).astype(np.int64)).max()),
    }
