"""The scenario: the strict schema of a question put to the simulator, checked as a whole."""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from sim import shipped
from sim.demand.sources import Demand
from sim.demand.users import Behaviour, Constant, Time
from sim.errors import BadInput
from sim.policies.playbook import Step
from sim.profile import Profile, load_profile
from sim.request import Spec
from sim.schema import Strict
from sim.units import Fraction, Instant, Moment, Plain, Scale, Seconds, Whole

LONGEST = 10 * 365 * 86400.0  # seconds
MOST_PEOPLE, MOST_GPUS, MOST_TICKS = 20e6, 1e6, 1e7  # of one run: some 10 GB of memory, and hours


class Tier(Strict):
    """A class of users."""

    share: Fraction = Field(description="share of the people who arrive")


class SpecFields(Strict):
    """What a request asks of a model."""

    model: str = Field(description="name of a profile: shipped, or listed under 'profiles'")
    side: Annotated[Whole, Field(ge=1, le=100_000)] = 1024
    steps: Annotated[Whole, Field(ge=1, le=100_000)] = 28
    frames: Annotated[Whole, Field(ge=1, le=100_000)] = 1
    images: Annotated[Whole, Field(ge=1)] = 1

    @property
    def spec(self) -> Spec:
        return Spec(self.model, self.side, self.steps, self.frames, self.images)


class Feature(Strict):
    """Something users ask for."""

    share: Fraction = Field(description="share of the asks")
    pool: str
    slo: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = Field(
        description="latency, from asking to the image, that counts as in time"
    )
    spec: SpecFields
    ladder: list[SpecFields] = Field(default=[], description="cheaper specs to degrade to, the next cheaper one first")
    meter: str = Field(default="", description="features with the same meter share one rate limit and quota")

    def rungs(self) -> list[Spec]:
        """The spec as asked, then the ladder down."""
        return [self.spec.spec, *[rung.spec for rung in self.ladder]]


class Pool(Strict):
    """GPUs that serve one queue."""

    gpus: Annotated[Whole, Field(ge=1, le=10_000_000)]
    max_batch: Annotated[Whole, Field(ge=1, le=1024)] = Field(default=1, description="images in one batch at most")
    linger: Annotated[Seconds, Field(allow_inf_nan=False)] = Field(
        default=0.0, description="how long a free GPU waits for a batch to fill"
    )
    model_load: Time = Field(
        default=Constant(kind="constant", value=0),
        description="what a GPU's first batch takes longer, and every batch of another model than the one before",
        json_schema_extra={
            "source": "assumed: each GPU holds all its pool's models; else GenTD26: lognormal, mean 22 s, p95 45 s",
            "provenance": "assumed",
        },
    )
    dollars_per_gpu_hour: Annotated[Plain, Field(ge=0, le=1e6)] = Field(
        default=2.5,
        json_schema_extra={"source": "H100 on demand, 2025-26 market surveys: $2-3.5", "provenance": "published"},
    )


class Noise(Strict):
    """What a batch's measured seconds vary by: a factor of mean 1.

    "as measured" is lognormal with the spread between visits that the model's profile holds, and `cv` where it holds
    none (published medians do not).
    """

    kind: Literal["none", "lognormal", "as measured", "exponential"] = "lognormal"
    cv: Annotated[Plain, Field(gt=0, le=3)] = Field(
        default=0.05,
        description="coefficient of variation of the lognormal",
        json_schema_extra={
            "source": "bare GPU benchmarks 0.002-0.015, production at fixed spec 0.37 (GenTD26); between them",
            "provenance": "assumed",
        },
    )


class Serving(Strict):
    """How the service treats its queue."""

    noise: Noise = Noise()
    gpu_speed_cv: Annotated[Plain, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="coefficient of variation of the constant speed of single GPUs, lognormal of mean 1",
        json_schema_extra={"source": "assumed: none; cards of one kind differ by 0.01-0.02", "provenance": "assumed"},
    )
    notices_leaving: bool = Field(
        default=False,
        description="whether a user who leaves the queue is taken out of it, or is served all the same (wasted)",
        json_schema_extra={"source": "assumed: closing a tab cancels nothing", "provenance": "assumed"},
    )


class Footprint(Strict):
    """From GPU energy to the meter and the air."""

    server_overhead: Annotated[Plain, Field(ge=1, le=100)] = Field(
        default=1.5,
        description="server power over GPU power",
        json_schema_extra={"source": "8-GPU nodes 1.4-1.6; MIT Technology Review uses 2", "provenance": "assumed"},
    )
    pue: Annotated[Plain, Field(ge=1, le=100)] = Field(
        default=1.17,
        description="facility power over server power",
        json_schema_extra={"source": "Microsoft 1.17-1.18, AWS 1.15, Google 1.1", "provenance": "published"},
    )
    grams_co2e_per_kwh: Annotated[Plain, Field(ge=0, le=1e6)] = Field(
        default=370.0,
        json_schema_extra={
            "source": "United States grid, about 370; world 481 (Ember, 2023)",
            "provenance": "published",
        },
    )
    idle_watts: Annotated[Plain, Field(ge=0, le=1e6)] = Field(
        default=100.0,
        description="of a GPU that serves nothing, where the profile does not say",
        json_schema_extra={"source": "assumed, 75-120 W", "provenance": "assumed"},
    )


class Alive(Strict):
    """When this scenario calls the service alive.

    Cut the run into windows. A window is good if, of the requests it granted, at least `kept` got an image in time.
    Alive: at least `windows` of the windows with granted requests are good, and at least `attainment` of all asks of
    the whole run got an image in time (so that refusing everybody is not life).
    """

    window: Annotated[Seconds, Field(ge=1, allow_inf_nan=False)] = 3600.0
    kept: Fraction = 0.8
    windows: Fraction = 0.9
    attainment: Fraction = 0.1


class Scenario(Strict):
    """One question: who comes, what they want, what serves them, and the playbooks to compare."""

    title: str
    question: str = ""
    start: Moment = datetime(2025, 1, 1, tzinfo=UTC)
    horizon: Annotated[Seconds, Field(allow_inf_nan=False, ge=1, le=LONGEST)]
    scale: Scale = Field(default=1.0, description="the slice of people and GPUs that is simulated")
    control_tick: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = 60.0
    warm_up: Seconds = Field(default=0.0, description="left out of metrics at the start")
    profiles: dict[str, str] = Field(default={}, description="profile files by name, relative to this file")
    extrapolate: bool = Field(default=False, description="allow service times outside a profile's measured grid")
    tiers: dict[str, Tier] = Field(min_length=1)
    features: dict[str, Feature] = Field(min_length=1)
    pools: dict[str, Pool] = Field(min_length=1)
    demand: Demand
    behaviour: Behaviour = Behaviour()
    serving: Serving = Serving()
    footprint: Footprint = Footprint()
    alive: Alive = Alive()
    always: list[Step] = Field(default=[], description="policies in force under every playbook")
    playbooks: dict[str, list[Step]] = Field(default={"none": []}, min_length=1)
    overrides: dict[str, dict[str, Any]] = Field(default={}, description="named changes: nested keys with new values")

    _document: dict[str, Any] = PrivateAttr(default_factory=dict)
    _profiles: dict[str, Profile] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def names_fit_together(self) -> Self:
        for what, shares in (("tiers", self.tiers), ("features", self.features)):
            total = sum(item.share for item in shares.values())
            if abs(total - 1) > 1e-6:
                raise ValueError(f"{what}: the shares add up to {total:g}, expected 1")
        for name, feature in self.features.items():
            if feature.pool not in self.pools:
                raise ValueError(f"features.{name}.pool: no pool {feature.pool!r}, expected one of {list(self.pools)}")
            for rung in feature.rungs():
                if rung.images > self.pools[feature.pool].max_batch:
                    raise ValueError(f"features.{name}: {rung.images} images a request exceed its pool's max_batch")
        for name, pool in self.pools.items():
            if pool.gpus * self.scale < 1 - 1e-9:
                raise ValueError(f"pools.{name}.gpus: {pool.gpus} GPUs at scale {self.scale:g} are less than one")
            if math.isinf(pool.model_load.law.a):
                raise ValueError(f"pools.{name}.model_load: expected a finite time")
        if self.warm_up >= self.horizon:
            raise ValueError("warm_up: expected less than the horizon")
        for name, steps in {"always": self.always, **self.playbooks}.items():
            for number, step in enumerate(steps):
                self.check_step(step, f"{'' if name == 'always' else 'playbooks.'}{name}.{number}")
        return self

    @model_validator(mode="after")
    def can_be_simulated(self) -> Self:
        """Refused here rather than when memory is full."""
        if not 1900 <= self.start.year <= 2200:  # dates of tables end in 2262
            raise ValueError("start: expected a year from 1900 to 2200")
        people = sum(
            self.scale * w.times * float(w.cumulative(max(self.horizon - self.seconds(w.from_), 0))) for w in self.demand.waves
        )
        gpus = sum(pool.gpus * self.scale for pool in self.pools.values())
        for key, number, most, what in (
            ("demand", people, MOST_PEOPLE, "people"),
            ("pools", gpus, MOST_GPUS, "GPUs"),
            ("control_tick", self.horizon / self.control_tick, MOST_TICKS, "control ticks"),
            ("alive.window", self.horizon / self.alive.window, MOST_TICKS, "windows"),
        ):
            if not number <= most:
                slice_of = "; a smaller 'scale' simulates a slice" if key in ("demand", "pools") else ""
                raise ValueError(
                    f"{key}: {number:.2g} {what} are more than a run can hold, expected at most {most:g}{slice_of}"
                )
        return self

    def check_step(self, step: Step, key: str) -> None:
        """Names in a playbook's step exist, and it ends after it begins."""
        for field, known in (("tiers", self.tiers), ("features", self.features)):
            for name in getattr(step.policy, field, None) or []:
                if name not in known:
                    written = "first" if field == "tiers" and step.policy.kind == "priority" else field
                    raise ValueError(f"{key}.policy.{written}: no {name!r}, expected one of {list(known)}")
        pool = getattr(step.policy, "pool", None)
        if pool is not None and pool not in self.pools:
            raise ValueError(f"{key}.policy.pool: no {pool!r}, expected one of {list(self.pools)}")
        if not self.seconds(step.from_) < self.seconds(step.until):
            raise ValueError(f"{key}.until: expected an instant after 'from'")

    def seconds(self, instant: Instant) -> float:
        """Seconds from the start of the scenario to an instant (negative before it)."""
        return (instant - self.start).total_seconds() if isinstance(instant, datetime) else instant

    def gpus(self, pool: str) -> int:
        """GPUs of a pool in the simulated slice, at least one."""
        return max(1, round(self.pools[pool].gpus * self.scale))

    def specs(self) -> list[Spec]:
        """Every spec that can be asked or granted, without repetition, in the order of the file."""
        return list(dict.fromkeys(rung for feature in self.features.values() for rung in feature.rungs()))

    def batch_tables(self, pool: str) -> dict[Spec, dict[int, float]]:
        """Seconds of a batch by its size in images, for every spec that this pool may serve."""
        most = self.pools[pool].max_batch
        specs = dict.fromkeys(rung for f in self.features.values() if f.pool == pool for rung in f.rungs())
        return {
            spec: {
                n: self.used_profiles[spec.model].batch_seconds(spec, n)
                for n in range(spec.images, most + 1, spec.images)
            }
            for spec in specs
        }

    def noise_sigma(self, model: str) -> float:
        """Sigma of the logarithm of a batch's time for one model, where its noise is lognormal."""
        measured = self.used_profiles[model].spread if self.serving.noise.kind == "as measured" else math.nan
        return math.sqrt(math.log1p(self.serving.noise.cv**2)) if math.isnan(measured) else measured

    def meters(self) -> list[str]:
        """The meter of each feature: its own name unless it shares one."""
        return [feature.meter or name for name, feature in self.features.items()]

    @property
    def document(self) -> dict[str, Any]:
        """The merged content of the file: what makes this scenario again."""
        return self._document

    @property
    def used_profiles(self) -> dict[str, Profile]:
        """The profile of each model named in a spec."""
        return self._profiles

    @classmethod
    def from_dict(
        cls, document: dict[str, Any], *, near: Path | None = None, profiles: dict[str, Profile] | None = None
    ) -> Self:
        """A scenario from plain values as in YAML. Raises pydantic's ValidationError, or BadInput about a profile.

        near: folder that profile paths are relative to; profiles: profiles by model name, in place of files.
        """
        scenario = cls.model_validate(document)
        scenario._document = document
        scenario._profiles = profiles_for(scenario, near, profiles or {})
        return scenario


def profiles_for(scenario: Scenario, near: Path | None, given: dict[str, Profile]) -> dict[str, Profile]:
    """Load the profile of every model a feature names, and check that every batch can be timed."""
    loaded: dict[str, Profile] = {}
    for name, feature in scenario.features.items():
        for place, spec in enumerate(feature.rungs()):
            key = f"features.{name}." + ("spec" if place == 0 else f"ladder.{place - 1}")
            if spec.model not in loaded:
                loaded[spec.model] = given.get(spec.model) or profile_for(scenario, spec.model, near, f"{key}.model")
            check_batches(loaded[spec.model], spec, scenario.pools[feature.pool].max_batch, key)
    return loaded


def profile_for(scenario: Scenario, model: str, near: Path | None, key: str) -> Profile:
    try:
        path = shipped.find("profiles", scenario.profiles.get(model, model), ".json", near)
    except BadInput as wrong:
        raise BadInput(wrong.message, key=key, value=wrong.value, expected=wrong.expected) from None
    return load_profile(path, extrapolate=scenario.extrapolate)


def check_batches(profile: Profile, spec: Spec, max_batch: int, key: str) -> None:
    for size in range(spec.images, max_batch + 1, spec.images):
        try:
            profile.batch_seconds(spec, size)
        except BadInput as wrong:
            raise BadInput(wrong.message, key=key, value=wrong.key, expected=wrong.expected) from None
