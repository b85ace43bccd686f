"""What people ask for in a log: features by path and size, their shares, and the service time of each."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from sim.calibration.asks import Asks
from sim.calibration.estimates import Findings
from sim.calibration.servers import mean_and_spread
from sim.profile.file import FORMAT
from sim.results.intervals import t_interval

Floats = NDArray[np.float64]
POOL = "gpus"
RARE = 0.01  # of the requests: kinds that are rarer are one feature, 'other', and sizes are the nearest that is not
SIDE, STEPS = 1024, 28  # of requests whose log does not say; names only
CLASSES = (0.1, 0.3, 0.5, 0.7, 0.9)  # quantiles that stand for sizes of which none is frequent
FEW = 20  # answers, below which seconds by length are no estimate


def profile_of(name: str, sizes: dict[int, float], file: str, side: int = SIDE, steps: int = STEPS) -> dict[str, Any]:
    """A profile of mean service times by images of a request."""
    points = [{"side": side, "steps": steps, "batch": n, "latency_s": {"p50": s}} for n, s in sorted(sizes.items())]
    return {
        "format": FORMAT,
        "name": name,
        "model": name,
        "feature": "image",
        "provenance": "measured",
        "source": file,
        "method": "means of the service times in a log; sizes that it does not have are names only",
        "date": "",
        "precision": "",
        "hardware": {"gpu": "as logged"},
        "points": points,
    }


def feature(model: str, share: float, images: dict[int, float], slo: float) -> dict[str, Any]:
    made: dict[str, Any] = {"share": share, "pool": POOL, "slo": f"{slo:.4g} s", "spec": {"model": model}}
    if set(images) != {1}:
        made["images"] = images
    return made


def with_features(asks: Asks) -> Asks:
    """The requests by feature: by path and, where requests differ in them, by pixels and steps.

    Rare sizes are taken as the nearest frequent ones; paths that are rare are together 'other'.
    """
    n = len(asks)
    sizes = {**asks.sizes, "side": classes(asks.size("side"), n), "steps": classes(asks.size("steps"), n)}
    shares = np.bincount(asks.kind, minlength=len(asks.kinds)) / n
    clean = ["".join(c if c.isalnum() else " " for c in name).split() for name in asks.kinds]
    names = [" ".join(words) or "image" for words in clean]
    names = [f"{n} {k}" if n in names[:k] else n for k, n in enumerate(names)]
    kept = [name if share >= RARE else "other" for name, share in zip(names, shares.tolist(), strict=True)]
    found = np.array(kept, dtype=object)[asks.kind]
    for values, unit in ((sizes["side"], "px"), (sizes["steps"], "steps")):
        known = np.unique(values[np.isfinite(values)])
        if len(known) > 1:
            words = {value: f" {value:.0f} {unit}" for value in known.tolist()}
            found = found + np.array([words.get(value, "") for value in values.tolist()], dtype=object)
    codes, features = pd.factorize(found)
    return replace(asks, kind=codes.astype(np.int64), kinds=tuple(str(name) for name in features), sizes=sizes)


def classes(values: Floats, n: int) -> Floats:
    """Each size as the nearest frequent one, by ratio; as the nearest of five quantiles where none is frequent."""
    known = np.isfinite(values) & (values >= 1)
    if not known.any():
        return np.full(len(values), np.nan)
    sizes, counts = np.unique(np.round(values[known]), return_counts=True)
    frequent = sizes[counts >= RARE * n]
    if counts[counts >= RARE * n].sum() < 0.5 * known.sum():
        frequent = np.unique(np.round(np.quantile(values[known], CLASSES)))
    far = np.abs(np.log(values[known])[:, None] - np.log(frequent)[None, :])
    found = np.full(len(values), np.nan)
    found[known] = frequent[np.argmin(far, axis=1)]
    return found


def features_of(
    asks: Asks, first: NDArray[np.bool_], service: Floats | None, profiles: dict[str, dict[str, Any]], found: Findings
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The features of `with_features`, with their shares and service times; and the profiles of these."""
    features, made, scaled = {}, dict(profiles), []
    total = int(first.sum())
    for code, name in enumerate(asks.kinds):
        rows = asks.kind == code
        sizes, size = sizes_of(asks.images[rows]), side_and_steps(asks, rows)
        model, mean = next(iter(profiles), "service"), 2.0
        tokens: dict[str, Any] = {}
        if profiles:
            mean = profiles[model]["points"][0]["latency_s"]["p50"]
        elif service is not None:
            model = f"service-{len(made) + 1}"
            made[model], tokens, values, mean = timed(model, name, asks, rows, service, sizes, size, found)
            scaled.append(values)
        else:
            made = {model: profile_of(model, dict.fromkeys(sizes, mean), "assumed")}
            found.unknown["the service time"] = "2 s, which nobody measured: the log has no durations"
        share = int((first & rows).sum()) / total
        made_of = feature(model, share, sizes, 10 * mean)
        made_of["spec"] |= ({} if profiles else size) | tokens.get("spec", {})
        features[name] = made_of | ({"length": tokens["length"]} if tokens else {})
        for key, value in size.items():
            found.add(f"features.{name}.spec.{key}", (value, math.nan, math.nan), "px" if key == "side" else "",
                      int(rows.sum()), "as logged; a rare size as the nearest frequent one")  # fmt: skip
        if share < 1:
            law = stats.beta(share * total + 0.5, (1 - share) * total + 0.5)
            found.add(
                f"features.{name}.share",
                (share, float(law.ppf(0.025)), float(law.ppf(0.975))),
                "",
                total,
                "share of first attempts",
            )
    blur = 0.0 if service is None or np.isfinite(asks.waited).any() else asks.tick / float(np.nanmean(service))
    noise(np.concatenate(scaled) if scaled else None, blur, found)
    next(iter(features.values()))["share"] += 1.0 - sum(one["share"] for one in features.values())
    return features, made


def side_and_steps(asks: Asks, rows: NDArray[np.bool_]) -> dict[str, int]:
    """The pixels and the steps of some requests, as far as they are logged."""
    known = {key: asks.size(key)[rows] for key in ("side", "steps")}
    return {key: int(np.nanmedian(values)) for key, values in known.items() if np.isfinite(values).any()}


def timed(
    model: str,
    name: str,
    asks: Asks,
    rows: NDArray[np.bool_],
    service: Floats,
    sizes: dict[int, float],
    size: dict[str, int],
    found: Findings,
) -> tuple[dict[str, Any], dict[str, Any], Floats, float]:
    """A feature's profile, its spec and law of lengths (empty without), its services over their means, and a mean."""
    known = rows & np.isfinite(service)
    seconds, lengths = service[known], asks.size("tokens")
    if by_length := seconds_by_length(seconds, lengths[known], name, found):
        profile, tokens, values = profile_of_length(model, *by_length, lengths[rows], name, found)
        mean = float(seconds.mean())
    else:
        images, tokens = asks.images[known], {}
        means = {n: float(seconds[images == n].mean()) for n in sizes if (images == n).any()}
        if not means:
            means = {n: float(np.nanmean(service)) for n in sizes}
            found.notes.append(f"{name}: none was served; its service time is that of all")
        profile = profile_of(model, means, asks.file, **size)
        values = seconds / np.array([means[min(means, key=lambda m: abs(m - k))] for k in images.tolist()])
        mean = means[min(means)]
    if len(seconds) >= 3:
        low, high = t_interval(seconds)
        coarse = 0.0 if np.isfinite(asks.waited).any() else asks.tick / 2  # s by which waits may be off
        values_of = (float(seconds.mean()), max(low - coarse, 0.0), high + coarse)
        found.add(f"service time of {name}", values_of, "s", len(seconds), "mean of those served")
    return profile, tokens, values, mean


def seconds_by_length(
    service: Floats, tokens: Floats, name: str, found: Findings
) -> tuple[float, float, Floats] | None:
    """Seconds of an answer's opening and of each token, by least squares; services over these. None without lengths.

    Residuals are weighted by the inverse of the length, since a longer service varies more.
    """
    known = np.isfinite(tokens) & (tokens >= 1)
    if known.sum() < FEW or np.ptp(np.log(tokens[known])) < 0.1:
        return None
    y, x = service[known], tokens[known]
    weight = 1 / np.maximum(x, np.median(x) / 4)
    design = np.column_stack([np.ones(len(x)), x]) * weight[:, None]
    at, *_ = np.linalg.lstsq(design, y * weight, rcond=None)
    spread = float(((y * weight - design @ at) ** 2).sum() / (len(x) - 2))
    half = stats.t.ppf(0.975, len(x) - 2) * np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * spread)
    if at[1] <= half[1]:  # no longer for more tokens, for sure
        return None
    opening, each = max(float(at[0]), 0.0), float(at[1])
    for key, value, off in (("opening", opening, half[0]), ("each token", each, half[1])):
        found.add(f"{name}: seconds of {key}", (value, max(value - float(off), 0.0), value + float(off)), "s",
                  len(x), "least squares of service times by tokens")  # fmt: skip
    return opening, each, y / (opening + each * x)


def profile_of_length(
    model: str, opening: float, each: float, values: Floats, tokens: Floats, name: str, found: Findings
) -> tuple[dict[str, Any], dict[str, Any], Floats]:
    """A profile of an opening and tokens, one request at a time; the spec and the law of lengths; services over means.

    The law is lognormal, the profile's side a name.
    """
    x = tokens[np.isfinite(tokens) & (tokens >= 1)]
    logs, n = np.log(x), len(x)
    ends = [float(logs.var(ddof=1)) * (n - 1) / float(stats.chi2.ppf(q, n - 1)) for q in (0.975, 0.025)]
    cvs = [min(math.sqrt(math.expm1(v)), 10.0) for v in (float(logs.var(ddof=1)), *ends)]
    found.add(f"features.{name}.spec.steps", (float(x.mean()), *t_interval(x)), "tokens", n, "mean of the lengths")
    found.add(f"features.{name}.length.cv", (cvs[0], cvs[1], cvs[2]), "", n, "lognormal, of the lengths")
    mean = max(round(float(x.mean())), 1)
    document = profile_of(model, {}, found.file)
    document |= {"feature": "chat", "method": "least squares of the service times in a log by tokens; side is a name"}
    parts = (("prefill", max(opening, 1e-6)), ("decode", each))
    document["points"] = [
        {"component": part, "side": 256, "batch": 1, "latency_s": {"p50": seconds}} for part, seconds in parts
    ]
    return document, {"spec": {"side": 256, "steps": mean}, "length": {"kind": "lognormal", "cv": cvs[0]}}, values


def noise(values: NDArray[np.float64] | None, blur: float, found: Findings) -> None:
    """The spread of service times around the mean of their feature and size.

    blur: ticks of a coarse clock by which their ends are off, over their mean: its interval holds the spread without.
    """
    if values is None or len(values) < 10:
        found.unknown["serving.noise"] = "no service times are in the log"
        return
    if np.ptp(values) < 1e-3:
        found.keys["serving.noise"] = {"kind": "none"}
        found.notes.append("service times of a feature and size are all the same, to a thousandth")
        return
    _, (cv, low, high), kind = mean_and_spread(values)
    low = math.sqrt(max(low**2 - 2 * blur**2 / 12, 0.0))
    found.keys["serving.noise"] = {"kind": kind}
    if kind == "lognormal":
        found.keys["serving.noise"]["cv"] = round(float(np.clip(cv, 1e-4, 3)), 4)
        found.add("serving.noise.cv", (cv, low, high), "", len(values), "lognormal, of service times over their mean")
    else:
        found.notes.append("service times are exponential rather than lognormal (by AIC)")


def sizes_of(images: NDArray[np.int64]) -> dict[int, float]:
    """Shares of the numbers of images that are not rare."""
    values, counts = np.unique(images, return_counts=True)
    kept = counts >= RARE * len(images)
    shares = counts[kept] / counts[kept].sum()
    found = {int(v): round(float(s), 6) for v, s in zip(values[kept], shares, strict=True)}
    last = max(found)
    found[last] = round(1.0 - sum(s for v, s in found.items() if v != last), 6)
    return found
