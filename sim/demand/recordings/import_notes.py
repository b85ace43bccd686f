"""Notes of an import on its recording: outcomes, attempts that were joined, assumptions made and repairs done."""

import numpy as np
from numpy.typing import NDArray

from sim.demand.recordings.attempts import REFUSED, Sessions
from sim.demand.recordings.findings import ERRORS, Draft, Finding
from sim.demand.recordings.formats import Layout

KEPT = dict.fromkeys(("keep-duplicates", "keep-gaps"), "kept as recorded")


def outcomes_said(extra: dict[str, NDArray[np.float64]]) -> tuple[str, ...]:
    """A note on the numbers of requests served and refused, and the mean times of those served."""
    if "status" not in extra or not np.isfinite(extra["status"]).any():
        served, parts = np.ones(len(next(iter(extra.values()), np.zeros(0))), dtype=bool), []
    else:
        status = extra["status"]
        served = (status > 0) & (status < ERRORS)
        refused = np.isin(status, REFUSED)
        failed = np.isfinite(status) & ~served & ~refused
        unknown = int((~np.isfinite(status)).sum())
        parts = [
            f"{served.sum():,} served, {refused.sum():,} refused (429, 503), {failed.sum():,} failed or hung up"
            + (f", {unknown:,} of which the status does not say what became of them" if unknown else "")
        ]
    for name, what in (("duration_s", "duration"), ("wait_s", "wait"), ("service_s", "service")):
        known = extra[name][served] if name in extra else np.zeros(0)
        known = known[np.isfinite(known)]
        if len(known):
            parts.append(
                f"mean {what} of those served {known.mean():.4g} s "
                f"(median {np.median(known):.4g}, most {known.max():.4g})"
            )
    return ("; ".join(parts),) if parts else ()


def sessions_said(found: Sessions) -> tuple[str, ...]:
    """A note on the attempts that were joined as one wish."""
    share, low, high = found.chance
    pause = f" after {found.pause:.3g} s on average" if found.pause == found.pause else ""
    again = (
        f"; a refused request is repeated with probability {share:.3g} (95 %: {low:.2g} to {high:.2g}){pause}"
        if share == share
        else ""
    )
    wishes = int(found.first.sum())
    return (
        f"{wishes:,} requests were first attempts: {len(found.first) - wishes:,} by the same user within "
        f"{found.window:.3g} s of a refusal or failure repeat them and are no new demand ({found.at_half:,} with half "
        f"that window, {found.at_twice:,} with twice; --attempts keeps them all){again}",
    )


def import_notes(draft: Draft, layout: Layout, found: list[Finding], unknown: int) -> tuple[str, ...]:
    """The rows left out, the assumptions made and the repairs, in words."""
    notes = [*layout.notes, *draft.times.assumed]
    if draft.rows.left_out:
        notes.append(f"{draft.rows.left_out:,} rows were left out by --keep")
    notes += [f"{count:,} {what}: left out" for what, count in draft.rows.no_requests.items()]
    if "images" in draft.rows.coded and unknown:
        notes.append(f"{unknown:,} rows do not say how many images: one each")
    for one in found:
        done = KEPT.get(one.repair, one.repair) if one.repair else "kept as recorded"
        notes.append(f"{one.problem}: {one.rows:,} rows, the first at {one.where}: {done}")
    return tuple(notes)
