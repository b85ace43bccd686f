"""Nothing disappears: the sums that a run's timeline and tables must satisfy, checked when a saved run is read."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from sim.errors import BadInput
from sim.model.gateway import REASONS
from sim.model.knobs import knob_called
from sim.model.request import ABANDONED, OUTCOMES, REFUSED, SERVED
from sim.policies.base import ABSENT
from sim.results import timeline as tl
from sim.results.log import OF_TOKENS
from sim.results.timeline import Timeline, layout
from sim.scenario.serving_options import STEPS

Broken = Iterator[tuple[str, bool]]  # a statement that must hold, and whether it does
Tables = dict[str, pd.DataFrame]
REFUSALS = slice(tl.REASON, tl.REASON + len(REASONS) - 1)

# Columns and the kinds of their values: i whole, f number, b yes or no, c one of a few names, o anything.
COLUMNS = {
    table: dict(column.split(":") for column in columns.split())
    for table, columns in {
        "requests": "user:i ask:i attempt:i tier:c feature:c pool:c arrived:f started:f dequeued:f finished:f left:f "
        "outcome:c reason:c asked:c spec:c level:i batch:i gpu_seconds:f retry:b notified:b first:i",
        "batches": "batch:i pool:c gpu:i spec:c started:f finished:f size:i seconds:f loading:f watts:f",
        "users": "user:i tier:c wave:c region:c newcomer:b invited_by:i arrives:f admitted:f left:f",
        "decisions": "time:o knob:o tier:o feature:o old:o new:o policy:o reason:o",
        "fleet": "time:o pool:o change:o " + " ".join(f"{state}:o" for state in ABSENT),
        "killed": "request:i batch:i gpu_seconds:f",
    }.items()
}


def refuse_broken(statements: Broken, file: str) -> None:
    """Raise BadInput for the first statement that does not hold."""
    for statement, holds in statements:
        if not holds:
            raise BadInput("this run's figures do not add up", file=file, expected=statement)


def refuse_shape(arrays: dict[str, tuple[Any, tuple[int, ...]]], bins: int, manifest: dict[str, Any]) -> None:
    """Raise BadInput where the arrays of a timeline are not those of the manifest's tiers, features and pools."""
    tokens = counts_tokens(manifest)
    wanted = layout(bins, *(len(manifest[of]) for of in ("tiers", "features", "pools")), tokens=tokens)
    if set(arrays) != set(wanted):
        raise BadInput("the timeline has other parts", value=sorted(arrays), expected=", ".join(wanted))
    for name, (kind, shape) in wanted.items():
        if arrays[name] != (np.dtype(kind), shape):
            expected = f"{np.dtype(kind)} of shape {shape}"
            raise BadInput("a part of the timeline has another shape", key=name, value=arrays[name], expected=expected)


def counts_tokens(manifest: dict[str, Any]) -> bool:
    """Whether some pool of a run runs steps."""
    return any(pool["runs"] == STEPS for pool in manifest["pools"].values())


def of_timeline(line: Timeline, manifest: dict[str, Any]) -> Broken:
    """The statements about a timeline."""
    for name in ("counts", "seconds", "queue", "signups", "latencies"):
        values = getattr(line, name)
        yield f"{name}: numbers of 0 or more", bool(np.isfinite(values).all()) and float(values.min(initial=0)) >= -1e-6
    yield "joules: numbers of 0 or more, or unknown", not (line.joules < 0).any() and not np.isinf(line.joules).any()
    yield "peaks: numbers of 0 or more, or never", not (line.peaks < 0).any() and not np.isinf(line.peaks).any()
    c, p = np.moveaxis(line.counts, -1, 0), line.people
    yield "attempts: as many as requests and retries", bool((c[tl.ATTEMPTS] == c[tl.INTENTS] + c[tl.RETRIED]).all())
    ended = c[REFUSALS].sum(axis=0) + c[tl.ABANDONED]
    yield "attempts: at least those refused and abandoned", bool((ended <= c[tl.ATTEMPTS]).all())
    yield "requests: at least those served and lost", bool((c[tl.SERVED] + c[tl.LOST] <= c[tl.INTENTS]).all())
    for part, whole, words in (
        (tl.IN_TIME, tl.SERVED, "served: at least those in time"),
        (tl.DEGRADED, tl.SERVED, "served: at least those degraded"),
        (tl.IN_TIME, tl.DECIDED, "decided: at least those in time"),
        (tl.DECIDED, tl.INTENTS, "requests: at least those decided"),
        (tl.KEPT, tl.JUDGED, "judged: at least those kept"),
        (tl.JUDGED, tl.ATTEMPTS, "attempts: at least those judged"),
    ):
        yield words, bool((c[part] <= c[whole]).all())
    yield "delivered: at least the requests served", bool(served_in_all(c) >= c[tl.SERVED].sum())
    spans = line.latencies.sum(axis=(1, 2, 3))
    yield "latencies: one wait for each latency of the served", bool(spans[tl.WAIT] == spans[tl.LATENCY])
    yield "latencies: no more than were served", bool(spans[tl.WAIT] <= served_in_all(c))
    yield "latencies: no more first tokens than were served", not (spans[tl.FIRST_TOKEN :] > spans[tl.LATENCY]).any()
    first, last = (line.edges[side:][: len(line.counts)] >= manifest["warm_up"] - 1e-6 for side in (0, 1))
    least, most = (int(c[tl.DECIDED][after].sum()) for after in (first, last))
    yield "latencies: one for each request decided", least <= int(spans[tl.OF_INTENTS]) <= most
    yield "people: those let in and lost came", p["let_in"] + p["lost"] <= p["came"]
    yield "people: those who came and left are among everybody", max(p["came"], p["churned"]) <= p["everybody"]
    yield "people: those invited came", p["invited"] <= p["came"]
    yield "signups: as many as people who came", int(line.signups.sum()) == p["came"]


def served_in_all(c: Any) -> int:
    """Images delivered by the horizon, of a timeline's counts."""
    return int(c[tl.DONE].sum() + c[tl.DONE_DEGRADED].sum())


def of_tables(t: Tables, manifest: dict[str, Any]) -> Broken:
    """The statements about the tables."""
    for name, columns in columns_of(manifest).items():
        yield f"{name}: the columns {', '.join(columns)}", set(t[name].columns) == set(columns)
        for column, kind in columns.items():
            yield f"{name}.{column}: values of another kind", kind == "o" or kind_of(t[name][column]) == kind
    for name, columns in COLUMNS.items():
        yield from of_names(name, t[name], [c for c, kind in columns.items() if kind == "c"], manifest)
    yield from of_users(t["users"])
    yield from of_batches(t["batches"], manifest)
    yield from of_requests(t, manifest)
    yield from of_changes(t["decisions"], t["fleet"], manifest)


def columns_of(manifest: dict[str, Any]) -> dict[str, dict[str, str]]:
    """COLUMNS of a run: where some pool runs steps, requests have tokens."""
    more = dict.fromkeys(OF_TOKENS, "f") if counts_tokens(manifest) else {}
    return {**COLUMNS, "requests": {**COLUMNS["requests"], **more}}


def kind_of(column: pd.Series) -> str:
    """The kind of a column's values, as in COLUMNS."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "c"
    return "i" if column.dtype.kind == "u" else column.dtype.kind


def of_names(table: str, rows: pd.DataFrame, columns: list[str], manifest: dict[str, Any]) -> Broken:
    """Names are those of the manifest, and are there in every row, but for a reason."""
    known = {"tier": manifest["tiers"], "feature": manifest["features"], "pool": manifest["pools"]}
    known |= {"asked": manifest["specs"], "spec": manifest["specs"], "outcome": OUTCOMES, "reason": REASONS[1:]}
    for column in columns:
        if column in known:
            names = ", ".join(known[column])
            yield f"{table}.{column}: one of {names}", set(rows[column].cat.categories) <= set(known[column])
        yield f"{table}.{column}: a name in every row", column == "reason" or bool(rows[column].notna().all())


def of_users(users: pd.DataFrame) -> Broken:
    arrives = users["arrives"].to_numpy()
    yield "users.user: numbered from 0", numbered(users["user"])
    yield "users.arrives: times of 0 or more", bool((arrives >= 0).all())
    for column in ("admitted", "left"):
        yield f"users.{column}: not before they arrive", not (users[column].to_numpy() < arrives).any()
    yield "users.invited_by: a user", within(users["invited_by"].dropna(), len(users))


def of_batches(batches: pd.DataFrame, manifest: dict[str, Any]) -> Broken:
    started, finished = batches["started"].to_numpy(), batches["finished"].to_numpy()
    yield "batches.batch: numbered from 0", numbered(batches["batch"])
    yield "batches.started: times within the run, in order", in_order(started, manifest["horizon"])
    yield "batches.finished: not before they start", not (finished < started).any()
    yield "batches.size: 1 or more", bool((batches["size"] >= 1).all())
    for column in ("gpu", "seconds", "watts"):
        yield f"batches.{column}: 0 or more", not (batches[column].to_numpy() < 0).any()


def of_requests(t: Tables, manifest: dict[str, Any]) -> Broken:
    rows, batches = t["requests"], t["batches"]
    arrived, first = rows["arrived"].to_numpy(), rows["first"].to_numpy()
    outcome, batch = rows["outcome"].to_numpy(), rows["batch"].dropna()
    yield "requests.arrived: times within the run, in order", in_order(arrived, manifest["horizon"])
    every = manifest["recording"]["rows"]  # of a sample there are no other tables
    yield "requests.user: a user", within(rows["user"], len(t["users"]) if every else np.inf)
    yield "requests.first: an earlier row", within(first, len(rows)) and bool((first <= np.arange(len(rows))).all())
    for column in ("user", "ask"):
        yield f"requests.first: a row of the same {column}", bool((rows[column].array[first] == rows[column]).all())
    reasoned, ended = (rows[name].notna().to_numpy() for name in ("reason", "finished"))
    yield "requests.reason: of those refused, and of no others", bool((reasoned == (outcome == REFUSED)).all())
    yield "requests.finished: a time for those served", bool(ended[outcome == SERVED].all())
    for earlier, later in (
        ("arrived", "started"),
        ("arrived", "dequeued"),
        ("started", "finished"),
        ("arrived", "left"),
        *([("started", "first_token"), ("first_token", "finished")] if "first_token" in rows else []),
    ):
        yield f"requests.{later}: not before {earlier}", not (rows[later].to_numpy() < rows[earlier].to_numpy()).any()
    yield "requests.batch: a batch", within(batch, len(batches))
    yield "requests.attempt: 0 or more", not (rows[["attempt", "ask", "level"]].to_numpy() < 0).any()
    yield "requests.gpu_seconds: 0 or more", not (rows["gpu_seconds"].to_numpy() < 0).any()
    if every:
        killed = t["killed"]
        listed = within(killed["request"], len(rows)) and within(killed["batch"], len(batches))
        yield "killed: rows of requests and batches", listed
        of = rows["batch"].to_numpy(dtype=float, na_value=-1).astype(int)
        images = rows["spec"].map({name: facts["images"] for name, facts in manifest["specs"].items()}).to_numpy(int)
        served, lost = of >= 0, killed["request"].to_numpy()
        of = np.concatenate([of[served], killed["batch"].to_numpy()])
        sizes = np.bincount(of, np.concatenate([images[served], images[lost]]), len(batches))
        yield "batches.size: the images of its requests", bool((sizes == batches["size"].to_numpy()).all())
        own = rows["gpu_seconds"].to_numpy()[served]
        shares = np.bincount(of, np.concatenate([own, killed["gpu_seconds"].to_numpy()]), len(batches))
        whole = batches["seconds"].to_numpy() * per_replica(manifest, batches["pool"])
        yield "requests.gpu_seconds: shares of their batch", np.allclose(shares, whole, rtol=1e-6)


def per_replica(manifest: dict[str, Any], pools: pd.Series) -> np.ndarray:
    """GPUs of one replica, for each name of a pool."""
    each = {name: facts["gpus_per_replica"] for name, facts in manifest["pools"].items()}
    return pools.map(each).to_numpy(float)


def of_changes(decisions: pd.DataFrame, fleet: pd.DataFrame, manifest: dict[str, Any]) -> Broken:
    """The statements about decisions and fleets."""
    for name, table in (("decisions", decisions), ("fleet", fleet)):
        times = pd.to_numeric(table["time"], errors="coerce").to_numpy(float)
        yield f"{name}.time: times within the run, in order", in_order(times, manifest["horizon"])
    for column in ("old", "new"):
        values = pd.to_numeric(decisions[column], errors="coerce").to_numpy(float)
        yield f"decisions.{column}: numbers of 0 or more", bool((values >= 0).all())
    for column, known in (("tier", manifest["tiers"]), ("feature", manifest["features"])):
        yield f"decisions.{column}: one of {', '.join(known)}", set(decisions[column].dropna()) <= set(known)
    for knob, rows in decisions.groupby("knob", dropna=False):
        yield f"decisions.knob: a knob, not {knob!r}", knob == "step" or is_knob(knob)
        choices = () if knob == "step" else knob_called(str(knob)).choices
        fits = not choices or set(rows["old"]) | set(rows["new"]) <= set(range(len(choices)))
        yield f"decisions: {knob} is one of {', '.join(choices)}", fits
    yield "decisions.policy: a name", bool(decisions["policy"].map(lambda name: isinstance(name, str)).all())
    yield "fleet.pool: a pool", set(fleet["pool"]) <= set(manifest["pools"])
    change = pd.to_numeric(fleet["change"], errors="coerce").to_numpy(float)
    yield "fleet.change: whole numbers", bool((change == np.round(change)).all())
    for pool in manifest["pools"]:
        had = np.cumsum(change[(fleet["pool"] == pool).to_numpy()])
        yield f"fleet.change: {pool} never has fewer than 0 GPUs", bool((had >= 0).all())


def is_knob(name: Any) -> bool:
    """Whether a decision table may hold a knob of this name."""
    try:
        return bool(knob_called(str(name)))
    except BadInput:
        return False


def of_both(line: Timeline, t: Tables) -> Broken:
    """The statements about a timeline and the rows of the same run, where every row was recorded."""
    rows, counts = t["requests"], line.counts.sum(axis=(0, 1, 2))
    outcome = rows["outcome"].to_numpy()
    served, first = outcome == SERVED, (rows["first"].to_numpy() == np.arange(len(rows))).sum()
    for words, counted, listed in (
        ("attempts", counts[tl.ATTEMPTS], len(rows)),
        ("requests", counts[tl.INTENTS], first),
        ("refused attempts", counts[REFUSALS].sum(), (outcome == REFUSED).sum()),
        ("abandoned attempts", counts[tl.ABANDONED], (outcome == ABANDONED).sum()),
        ("served attempts", counts[tl.DONE] + counts[tl.DONE_DEGRADED], served.sum()),
        ("degraded ones", counts[tl.DONE_DEGRADED], (served & (rows["level"].to_numpy() > 0)).sum()),
        ("people", line.people["everybody"], len(t["users"])),
        ("signups", line.people["came"], t["users"]["newcomer"].sum()),
    ):
        yield f"timeline: as many {words} as the tables have", int(counted) == int(listed)


def numbered(column: pd.Series) -> bool:
    return bool((column.to_numpy() == np.arange(len(column))).all())


def within(places: Any, length: float) -> bool:
    values = np.asarray(places, dtype=float)
    return bool(((values >= 0) & (values < length)).all())


def in_order(times: Any, horizon: float) -> bool:
    """Whether times ascend from 0 or later to the horizon or earlier."""
    inside = bool(((times >= 0) & (times <= horizon * (1 + 1e-9))).all())
    return inside and bool((times[1:] >= times[:-1]).all())
