"""A promise in words, like "95 % in time in every window", and by how much a run keeps or breaks it."""

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.model.gateway import REASONS
from sim.results.timeline import ABANDONED, ATTEMPTS, DECIDED, IN_TIME, INTENTS, LOST, REASON, SERVED
from sim.scenario.fields import ScenarioFields
from sim.scenario.scenario import Scenario
from sim.studies.fleets import served_pools
from sim.studies.objectives import over
from sim.studies.run_record import Record
from sim.units import dollars, fraction, seconds

EXPECTED = (
    "conditions joined by 'and', like 'alive', '95 % in time in every window', '99 % of pro in time', 'p95 <= 30 s', "
    "'p99 wait of image <= 10 s', 'p95 first token of chat <= 1 s', 'p95 per token of chat <= 50 ms', "
    "'lost <= 2 %', 'refused <= 1 %', 'abandoned <= 2 %', 'served >= 98 %', "
    "'cost <= $20,000', 'cost of 1,000 images <= $5', 'profit >= $0'"
)
EVERYBODY = ("", "all", "images", "requests", "people")  # words for no tier and no feature in particular
SHARE, NAME = r"(\d[\d.]*\s*%?|\d+/\d+)", r"(?: of (?P<of>.+?))?"
WINDOWS = rf"(?: in (?P<windows>every|{SHARE} of(?: the)?) windows?)?"
FORMS = {
    "alive": r"alive",
    "in time": rf"(?P<share>{SHARE}){NAME} in time{WINDOWS}",
    "within": rf"p(?P<quantile>\d[\d.]*)(?: (?P<kind>latency|wait|first token|per token))?{NAME} "
    r"(?:<=|<|below|within) (?P<time>.+)",
    "at most": rf"(?P<what>lost|refused|abandoned){NAME} (?:<=|<|below) (?P<share>{SHARE})",
    "at least": rf"(?P<what>served){NAME} (?:>=|>|above) (?P<share>{SHARE})",
    "costs": r"(?P<what>cost(?: of (?:1,?000|a thousand) images)?) (?:<=|<|below) (?P<dollars>.+)",
    "earns": r"(?P<what>profit) (?:>=|>|above) (?P<dollars>.+)",
}
SPLIT = r"\s+and\s+|,(?!\d{3}(?!\d))"  # between conditions; no comma inside a number
KINDS: dict[str, tuple[str, str]] = {
    "latency": ("all intents", "latency"),
    **{what: ("served", what) for what in ("wait", "first token", "per token")},
}
THOUSAND = "cost of 1,000 images"
WITHOUT = 1.0  # the margin by which a promise is broken where nobody was there to keep it to


@dataclass(frozen=True)
class Condition:
    """One condition of a promise: a share, or dollars, that must be reached, or for `at most` and `costs` not exceeded.

    of: a tier or a feature ('' for everybody). what: for `at most` and `at least`, the share of requests (served, lost)
    or of attempts (refused, abandoned); for `within`, 'latency' (of all requests, from first wanted to image; one that
    never came is too late), 'wait' (of the served, from arrival to start), 'first token' or 'per token' (of the
    served); for `costs`, 'cost' (of all GPUs over the run) or 'cost of 1,000 images' (in time, a degraded one by its
    quality); for `earns`, 'profit' (revenue less GPUs). windows: the share of the scenario's windows (alive.window) in
    which it must hold; nan: over the whole run.
    """

    kind: Literal["alive", "in time", "within", "at most", "at least", "costs", "earns"]
    target: float = math.nan
    of: str = ""
    what: str = ""
    seconds: float = math.nan
    windows: float = math.nan

    @property
    def about_share(self) -> bool:
        """Whether it compares one share with its target; `alive` compares two, others compare dollars."""
        return self.kind not in ("alive", "costs", "earns")

    @property
    def caps_cost(self) -> bool:
        """Whether it says what the GPUs of a run may cost."""
        return self.kind == "costs" and self.what == "cost"

    def reached(self, record: Record) -> float:
        """The share, or the dollars, that the target is compared with; nan where there is nobody."""
        if self.kind in ("costs", "earns"):
            return dollars_of(self.what, record)
        if self.kind == "within":
            return record.share_within(KINDS[self.what], self.seconds, self.of)
        if self.kind == "in time" and not math.isnan(self.windows):
            decided, in_time, *_ = record.in_windows(self.of).T
            return in_windows(decided, in_time, self.windows)
        return over(*counts_of(self, record))

    def margin(self, record: Record) -> float:
        """By how much the condition is kept (0 or more) or broken (below 0), as a share; dollars, as one of the target.

        Dollars against a target of $0 are a share of what the run's GPUs cost.
        """
        if self.kind == "alive":
            rule = record.alive
            *_, judged, good = record.in_windows().T
            kept = in_windows(judged, good, rule["windows"]) - rule["kept"]
            attained = over(record.total(IN_TIME), record.total(DECIDED)) - rule["attainment"]
            return known(min(kept, attained) if kept == kept else math.nan)
        below = self.target - self.reached(record)
        if not self.about_share:
            below /= abs(self.target) or float(record.figures["dollars"]) or 1.0
        return known(below * (1 if self.kind in ("at most", "costs") else -1))

    def grain(self, record: Record) -> float:
        """By how much one request more or less changes the margin; 0 for dollars, and where nobody is."""
        if self.kind in ("costs", "earns"):
            return 0.0
        if self.kind == "within":
            return over(1, int(record.histogram(KINDS[self.what], self.of).sum())) if self.known(record) else 0.0
        if self.kind == "alive":
            *_, judged, good = record.in_windows().T
            return one_of(judged, good, record.alive["windows"])
        if not math.isnan(self.windows):
            decided, in_time, *_ = record.in_windows(self.of).T
            return one_of(decided, in_time, self.windows)
        return over(1, counts_of(self, record)[1]) if self.known(record) else 0.0

    def known(self, record: Record) -> bool:
        """Whether there is anybody to keep it to."""
        return not math.isnan(self.reached(record))

    def open_end(self, record: Record) -> float:
        """The share of requests that are unfinished at the horizon, where the condition would be broken if they failed.

        0 where they do not matter. A condition on requests that are lost, or attempts that are abandoned, counts them
        as if all was well, however long they have been waiting.
        """
        intents = record.total(INTENTS, self.of)
        unfinished = intents - record.total(SERVED, self.of) - record.total(LOST, self.of)
        if self.kind != "at most" or self.what not in ("lost", "abandoned") or not unfinished:
            return 0.0
        failed, every = counts_of(self, record)
        return unfinished / intents if failed <= self.target * every < failed + unfinished else 0.0

    def served_by(self, scenario: Scenario) -> set[str]:
        """The pools whose GPUs it is about: those of the features that it names, and of others they spill to."""
        if self.of not in scenario.features or self.of in scenario.tiers:
            return {*served_pools(scenario)}
        feature = scenario.features[self.of]
        return {scenario.features[name].pool for name in (self.of, *(feature.spill.to if feature.spill else ()))}


@dataclass(frozen=True)
class Promise:
    """What a service promises: all of its conditions."""

    text: str
    conditions: tuple[Condition, ...]

    def margin(self, record: Record) -> float:
        """By how much the promise is kept (0 or more) or broken (below 0): the margin of its tightest condition."""
        return min(condition.margin(record) for condition in self.conditions)

    def grain(self, record: Record) -> float:
        """By how much one request more or less changes the margin: that of the tightest condition."""
        return min(self.conditions, key=lambda condition: condition.margin(record)).grain(record)

    def open_end(self, record: Record) -> float:
        """The share of requests that are unfinished, where a condition would be broken if these failed; else 0."""
        return max(condition.open_end(record) for condition in self.conditions)

    def served_by(self, scenario: Scenario) -> set[str]:
        """The pools whose GPUs it is about."""
        return set().union(*(condition.served_by(scenario) for condition in self.conditions))

    def measure(self, record: Record) -> float:
        """What figures show: the share that a lone condition is about, else the margin."""
        if len(self.conditions) == 1 and self.conditions[0].about_share:
            return self.conditions[0].reached(record)
        return self.margin(record)

    @property
    def of_service(self) -> "Promise":
        """The conditions that more GPUs can only help to keep: those about people, not about dollars."""
        return Promise(self.text, tuple(one for one in self.conditions if one.kind not in ("costs", "earns")))

    @property
    def about_dollars(self) -> bool:
        """Whether it says what people or images may cost or must earn, so that a fleet can be too large for it."""
        return any(one.kind in ("costs", "earns") for one in self.conditions)

    @property
    def cost_cap(self) -> float:
        """The dollars that a run may cost; inf where nothing is said of them."""
        return min((one.target for one in self.conditions if one.caps_cost), default=math.inf)

    @property
    def apart_from_cost(self) -> "Promise":
        """All conditions but those that cap the cost of a run, which only ever speak for fewer GPUs."""
        return Promise(self.text, tuple(one for one in self.conditions if not one.caps_cost))

    @property
    def target(self) -> float:
        """What the measure is compared with."""
        return self.conditions[0].target if len(self.conditions) == 1 and self.conditions[0].about_share else 0.0


def read_promise(text: str | None, scenario: Scenario) -> Promise:
    """A promise about a scenario, from words. Raises BadInput for what it cannot mean.

    None: what the scenario itself promises, apart from comparisons with a baseline; where that is nothing, 'alive'.
    """
    own = [part for one in scenario.promises for part in parts_of(one) if not about_baseline(part)]
    parts = parts_of((" and ".join(own) or "alive") if text is None else text)
    return Promise(" and ".join(parts), tuple(read_condition(part, scenario) for part in parts))


def about_baseline(part: str) -> bool:
    """Whether a condition is a comparison with a baseline, which only a check reads."""
    return "baseline" in part.lower()


def parts_of(text: str) -> list[str]:
    """The words of each condition. Raises BadInput where there is none."""
    parts = [part.strip() for part in re.split(SPLIT, " ".join(str(text).split())) if part.strip()]
    if not parts:
        raise BadInput("a promise needs a condition", key="promise", value=text, expected=EXPECTED)
    return parts


def read_condition(text: str, scenario: ScenarioFields) -> Condition:
    """One condition. Raises BadInput."""
    for kind, form in FORMS.items():
        if found := re.fullmatch(form, text.strip(), re.IGNORECASE):
            try:
                return condition_of(kind, found.groupdict(), scenario)
            except ValueError as wrong:
                expected = str(wrong).removeprefix("expected ")
                raise BadInput("this promise cannot be read", key="promise", value=text, expected=expected) from None
    raise BadInput("this promise cannot be read", key="promise", value=text, expected=EXPECTED)


def condition_of(kind: str, said: dict[str, str | None], scenario: ScenarioFields) -> Condition:
    """A condition from the parts of its sentence. Raises ValueError."""
    of = (said.get("of") or "").strip()
    of = "" if of.lower() in EVERYBODY and of not in (*scenario.tiers, *scenario.features) else of
    if of and of not in (*scenario.tiers, *scenario.features):
        raise ValueError(f"expected a tier or a feature, one of {', '.join([*scenario.tiers, *scenario.features])}")
    if kind == "alive":
        return Condition("alive")
    if kind in ("costs", "earns"):
        return money_condition(kind, str(said["what"]).lower(), str(said["dollars"]).strip(), scenario)
    if kind == "within":
        within, share = seconds(str(said["time"]).strip()), round(float(str(said["quantile"])) / 100, 9)
        if not (0 < share < 1 and 0 <= within < 1e9):
            raise ValueError("expected a quantile above p0 and below p100, and a finite time, like 'p95 <= 30 s'")
        if "token" in (said["kind"] or "") and not scenario.counts_tokens:
            raise ValueError("expected a pool with 'runs: steps', which counts tokens; or 'latency' or 'wait'")
        return Condition("within", share, of, said["kind"] or "latency", within)
    share = fraction(str(said["share"]).strip())
    if kind != "in time":
        return Condition("at most" if kind == "at most" else "at least", share, of, str(said["what"]).lower())
    if share == 0:
        raise ValueError("expected a share above 0: any fleet keeps a promise to nobody")
    windows = said["windows"]
    if windows is None:
        return Condition("in time", share, of)
    return Condition("in time", share, of, windows=1.0 if windows == "every" else fraction(windows.split(" of")[0]))


def money_condition(kind: str, what: str, text: str, scenario: ScenarioFields) -> Condition:
    """A condition about dollars. Raises ValueError."""
    if kind == "costs":
        most = dollars(text)
        if not 0 < most < math.inf:
            raise ValueError("expected dollars above 0, like 'cost <= $20,000'")
        return Condition("costs", most, what="cost" if what == "cost" else THOUSAND)
    if not scenario.has_prices:
        raise ValueError("expected a tier that pays, like plus: {price: $20 per month}")
    return Condition("earns", dollars(text), what=what)


def dollars_of(what: str, record: Record) -> float:
    """Dollars of the run, of a thousand images in time, or earned; nan where they are not known."""
    f = record.figures
    if what == THOUSAND:
        return over(1000 * f["dollars"], f["images_worth"])
    return float(f["dollars" if what == "cost" else "margin"])


def counts_of(condition: Condition, record: Record) -> tuple[int, int]:
    """The counts whose ratio a condition over the whole run is about."""
    of = condition.of
    if condition.kind == "in time":
        return record.total(IN_TIME, of), record.total(DECIDED, of)
    if condition.what in ("lost", "served"):
        return record.total({"lost": LOST, "served": SERVED}[condition.what], of), record.total(INTENTS, of)
    if condition.what == "abandoned":
        return record.total(ABANDONED, of), record.total(ATTEMPTS, of)
    refused = sum(record.total(REASON + reason, of) for reason in range(len(REASONS) - 1))
    return refused, record.total(ATTEMPTS, of)


def in_windows(every: NDArray[np.int64], fine: NDArray[np.int64], share: float) -> float:
    """The ratio that is reached in this share of the windows in which there was anybody; nan where there are none."""
    ratios = np.sort(fine[every > 0] / every[every > 0])[::-1]
    if len(ratios) == 0:
        return math.nan
    return float(ratios[max(math.ceil(share * len(ratios) - 1e-9), 1) - 1])


def one_of(every: NDArray[np.int64], fine: NDArray[np.int64], share: float) -> float:
    """One request's part of the window whose ratio in_windows takes; of equal ones, the fullest. 0 for no window."""
    reached = in_windows(every, fine, share)
    if math.isnan(reached):
        return 0.0
    some = every[every > 0]
    return 1 / int(some[np.isclose(fine[every > 0] / some, reached)].max())


def known(margin: float) -> float:
    """A margin; one that is not known, as nobody was there, breaks the promise."""
    return -WITHOUT if math.isnan(margin) else margin
