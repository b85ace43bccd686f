"""Good and bad experiences of people, by tier, and who stays and who starts to pay because of them, as expected values.

Each experience is one chance, independent of the others and of their order. Where every row was recorded, each person
has their own; else the tier's are spread over its people as if by chance (Poisson), which expects somewhat more people
to cancel, and to start paying, than where some people meet more of them than others.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sim.results.intents import LOST, Floats, intents, looked_up, window_of
from sim.results.metrics import counted, qualities, recorded
from sim.results.run import Run
from sim.results.timeline import DECIDED, DEGRADED, IN_TIME, INTENTS
from sim.results.timeline import LOST as LOST_COUNT
from sim.scenario.fields import ScenarioFields
from sim.scenario.prices import Tariff


@dataclass(frozen=True)
class Experienced:
    """One tier's people in the slice, expected values.

    subscribed: seconds inside the window for which they had an account. Those from before have it from the start.
    """

    people: float  # let in, or from before
    newcomers: float  # of these, people who signed up in the window
    subscribed: float
    leaving: float  # people driven away by bad experiences
    starting: float  # people who start to pay after good ones


def experienced(run: Run, tariffs: dict[str, Tariff], wishes: pd.DataFrame | None = None) -> dict[str, Experienced]:
    """What the people of each tier met in the run's whole window, and what it makes them do."""
    if not run.has_rows:
        return of_timeline(run, tariffs)
    return of_rows(run, tariffs, intents(run) if wishes is None else wishes)


def staying(tariff: Tariff, lost: Floats, late: Floats) -> Floats:
    """Probability that a person stays after these numbers of lost and of late images."""
    return np.asarray((1 - tariff.churn) ** lost * (1 - tariff.churn_late) ** late)


def convinced(tariff: Tariff, good: Floats) -> Floats:
    """Probability that a person starts to pay after this number of good experiences."""
    return np.asarray(1 - (1 - tariff.conversion) ** good) if tariff.converts_to else np.zeros_like(good)


def of_rows(run: Run, tariffs: dict[str, Tariff], wishes: pd.DataFrame) -> dict[str, Experienced]:
    """The sums over people of their own probabilities."""
    begin, end = window_of(run, None)
    users = run.users
    asked = wishes["user"].to_numpy()
    lost, in_time = (wishes["outcome"] == LOST).to_numpy(), wishes["in_time"].to_numpy()
    late = wishes["decided"].to_numpy() & ~in_time & ~lost
    cheaper = np.flatnonzero(in_time & wishes["degraded"].to_numpy())  # images that are only partly as good
    quality = looked_up(
        wishes["feature"].iloc[cheaper], dict(zip(run.manifest["features"], qualities(run), strict=True))
    )
    met = [np.bincount(asked[np.flatnonzero(part)], minlength=len(users)) for part in (lost, late, in_time)]
    met[-1] = met[-1] - np.bincount(asked[cheaper], 1 - quality, len(users))
    newcomer, admitted = users["newcomer"].to_numpy(bool), users["admitted"].to_numpy(float)
    tier_of = users["tier"].cat.set_categories(list(tariffs)).cat.codes.to_numpy()
    inside = ~newcomer | ~np.isnan(admitted)
    since_signup = np.nan_to_num(admitted)
    since = np.where(newcomer, np.maximum(since_signup, begin), begin)
    found = {}
    for place, (name, tariff) in enumerate(tariffs.items()):
        mine = inside & (tier_of == place)
        bad, slow, fine = (part[mine] for part in met)
        stay = staying(tariff, bad, slow)
        found[name] = Experienced(
            people=float(mine.sum()),
            newcomers=float((mine & newcomer & (since_signup >= begin)).sum()),
            subscribed=float((end - since[mine]).sum()),
            leaving=float((1 - stay).sum()),
            starting=float((stay * convinced(tariff, fine)).sum()),
        )
    return found


def of_timeline(run: Run, tariffs: dict[str, Tariff]) -> dict[str, Experienced]:
    """The same from counts by tier: E[(1 - p)^n] = exp(-p m) where n is Poisson of mean m."""
    begin, end = span = window_of(run, None)
    found_by_feature = counted(run, span).counts[0].astype(float)
    counts, cheaper = found_by_feature.sum(axis=1), found_by_feature[..., DEGRADED] @ (1 - np.array(qualities(run)))
    line, people = recorded(run), recorded(run).people
    later = line.edges[:-1] >= begin - 1e-9
    signups, middles = line.signups[later], (line.edges[1:] + line.edges[:-1])[later] / 2
    came = max(people["came"], 1)  # a timeline that begins with the window has only those of it
    inside = float(signups.sum()) / came  # of all newcomers, those who came in the window
    # Seconds with an account, of a newcomer on average: those from before the window have it all the time.
    each = (1 - inside) * (end - begin) + float(signups @ (end - middles)) / came
    let_in = people["let_in"] / came
    expected = people_by_tier(run)
    scale = people["everybody"] / max(sum(map(sum, expected.values())), 1e-300)
    found = {}
    for place, (name, tariff) in enumerate(tariffs.items()):
        before, new = (scale * number for number in expected[name])
        new *= let_in
        c, crowd = counts[place], max(before + new, 1e-300)
        lost, late = c[LOST_COUNT], c[DECIDED] - c[IN_TIME] - c[LOST_COUNT]
        good = max(c[IN_TIME] - cheaper[place], 0.0)  # as if all degraded images came in time
        stay = float(np.exp(-(tariff.churn * lost + tariff.churn_late * max(late, 0.0)) / crowd))
        start = float(1 - np.exp(-tariff.conversion * good / crowd)) if tariff.converts_to and c[INTENTS] else 0.0
        subscribed = before * (end - begin) + new * each
        found[name] = Experienced(before + new, new * inside, subscribed, crowd * (1 - stay), crowd * stay * start)
    return found


def people_by_tier(run: Run) -> dict[str, tuple[float, float]]:
    """People of each tier that the scenario's demand brings by the horizon, expected: from before, and newcomers."""
    scenario = ScenarioFields.model_validate(run.manifest["scenario"])
    shares = {name: tier.share for name, tier in scenario.tiers.items()}
    found = {name: [0.0, 0.0] for name in shares}
    for wave in scenario.demand.waves:
        begins, mine = scenario.seconds(wave.from_), wave.tiers or list(shares)
        whole = sum(shares[name] for name in mine)
        for name in mine:
            came = float(wave.times * wave.cumulative(max(scenario.horizon - begins, 0.0)))
            opening = scenario.demand.openings.get(name)
            if opening is not None:
                early = wave.times * wave.cumulative(max(scenario.seconds(opening.at) - begins, 0.0))
                came -= (1 - opening.pent_up) * float(early)
            found[name][int(wave.newcomers)] += came * shares[name] / whole
    for clients in scenario.demand.clients:
        for name in [clients.tier] if clients.tier else shares:
            found[name][0] += clients.clients * (1.0 if clients.tier else shares[name])
    if run.manifest["word_of_mouth"] is not None:
        invited = recorded(run).people["invited"] / run.scale
        for name, share in shares.items():
            found[name][1] += invited * share
    return {name: (before, new) for name, (before, new) in found.items()}
