"""The parts of a scenario besides its demand: tiers, features, pools, serving, footprint, what counts as alive."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final, Literal, Self

import scipy
from pydantic import Field, model_validator

from sim.demand.behaviour import Returns
from sim.demand.laws import Time
from sim.model.request import Spec
from sim.scenario.prices import Reserved, Spot, Tariff
from sim.scenario.serving_options import HowItServes, Length
from sim.schema import Strict, sourced
from sim.units import Fraction, HourlyDollars, Plain, Seconds, Whole

WAITS_AGAIN: Final = "waits again"  # what becomes of work that is lost
WIDEST = 1 / math.sqrt(3)  # coefficient of variation of a uniform law of positive numbers


class Tier(Tariff):
    """A class of users: how many they are, and what they pay."""

    share: Fraction = Field(description="share of the people who arrive")
    patience: Time | None = sourced(
        None,
        "how long its users wait for an image, where not as behaviour.patience says",
        assumed="assumed: as everybody; nothing is published by tier",
    )
    returns: Returns | None = sourced(
        None,
        "their days of return, where not as behaviour.returns says",
        assumed="assumed: as everybody; nothing is published by tier",
    )


class SpecFields(Strict):
    """The work that a request asks of a model."""

    model: str = Field(description="name of a profile: shipped, or listed under 'profiles'")
    side: Annotated[Whole, Field(ge=1, le=100_000)] = Field(default=1024, description="pixels along one side")
    steps: Annotated[Whole, Field(ge=1, le=100_000)] = Field(default=28, description="denoising steps")
    frames: Annotated[Whole, Field(ge=1, le=100_000)] = Field(default=1, description="of a video; 1 for an image")
    images: Annotated[Whole, Field(ge=1)] = Field(default=1, description="images in one request")

    @property
    def spec(self) -> Spec:
        return Spec(self.model, self.side, self.steps, self.frames, self.images)


class Spill(Strict):
    """Where requests go whose own pool is behind."""

    to: list[str] | dict[str, Annotated[Plain, Field(gt=0, le=1e6)]] = Field(
        min_length=1,
        max_length=100,
        description="features as which they are served: the first whose pool is not behind; or, of those, by weight",
    )
    above: Seconds = Field(
        default=math.inf,
        description="expected wait above which a pool is behind; one without a GPU in service always is",
        json_schema_extra={"default": "never"},
    )

    @property
    def weights(self) -> list[float]:
        """Of each; 0 where the order decides."""
        return list(self.to.values()) if isinstance(self.to, dict) else [0.0] * len(self.to)


class Feature(Strict):
    """Something users ask for."""

    share: Fraction = Field(description="share of the asks")
    pool: str = Field(description="the pool that serves it")
    slo: Annotated[Seconds, Field(gt=0, allow_inf_nan=False)] = Field(
        description="latency, from asking to the image, that counts as in time"
    )
    slo_first_token: Annotated[Seconds, Field(gt=0)] = Field(
        default=math.inf,
        description="time from asking to the first token (step) that counts as in time, in a pool that runs steps",
        json_schema_extra={"default": "never"},
    )
    slo_per_token: Annotated[Seconds, Field(gt=0)] = Field(
        default=math.inf,
        description="mean time from one token (step) to the next that counts as in time, in a pool that runs steps",
        json_schema_extra={"default": "never"},
    )
    spec: SpecFields = Field(description="the work of one request")
    ladder: list[SpecFields] = Field(
        default=[], max_length=100, description="cheaper specs to degrade to, the next cheaper one first"
    )
    meter: str = Field(default="", description="features with the same meter share one rate limit and quota")
    images: dict[int, Fraction] = Field(
        default={},
        max_length=100,
        description="how many images a request asks for, with shares, like {1: 60 %, 4: 40 %}; spec.images if empty",
        json_schema_extra={"source": "assumed: as in a chat, one a request", "provenance": "assumed"},
    )
    length: Length = Field(
        default=Length(kind="fixed"),
        description="how many steps (tokens) a request takes, in a pool that runs steps or threads",
    )
    region: str = Field(default="", description="of demand.regions: only its people ask for it; else everybody's")
    spill: Spill | None = Field(default=None, description="where requests go whose pool is behind, or has no GPU")
    degraded_quality: Fraction = sourced(
        0.5,
        "what a degraded image counts for where playbooks are compared; one as asked for counts as 1",
        assumed="assumed: half of one as asked for",
    )

    @model_validator(mode="after")
    def images_are_shares(self) -> Self:
        if self.images and (min(self.images) < 1 or max(self.images) > 1024):
            raise ValueError("images: expected whole numbers from 1 to 1024")
        if self.images and abs(sum(self.images.values()) - 1) > 1e-6:
            raise ValueError(f"images: the shares add up to {sum(self.images.values()):g}, expected 1")
        return self

    def ladders(self) -> dict[int, list[Spec]]:
        """By how many images a request asks for: the spec as asked, then the ladder down."""
        rungs = [self.spec.spec, *[rung.spec for rung in self.ladder]]
        return {n: [rung._replace(images=n) for rung in rungs] for n in self.images} or {self.spec.images: rungs}

    def rungs(self) -> list[Spec]:
        """Every spec of every ladder."""
        return [rung for ladder in self.ladders().values() for rung in ladder]


class Pays(Strict):
    """Which GPUs are paid for besides those in service and those that move between pools."""

    failed: bool = sourced(
        True, "GPUs that have failed and are not yet repaired", assumed="assumed: a broken machine is owned or reserved"
    )
    switched_off: bool = sourced(
        True,
        "GPUs of the pool's own (`gpus`) that a policy takes out of service; false where they are rented",
        assumed="assumed: the pool's own GPUs are owned or reserved",
    )
    ordered: bool = sourced(
        False, "GPUs on order; where false, from their arrival", assumed="assumed: billing begins with the service"
    )


class KindOfGpu(Strict):
    """Some GPUs of a pool that has several kinds."""

    gpus: Annotated[Whole, Field(ge=0, le=10_000_000)] = Field(description="of this kind, of the whole service")
    dollars_per_gpu_hour: Annotated[HourlyDollars, Field(le=1e6)] | None = Field(
        default=None, description="on demand; the pool's where absent"
    )
    profiles: dict[str, str] = Field(
        default={},
        max_length=100,
        description="by models that features name: the profile measured on this kind; else that of the model's name",
    )
    reserved: Reserved = Reserved()
    spot: Spot = Spot()


class Pool(HowItServes):
    """GPUs that serve one queue."""

    gpus: Annotated[Whole, Field(ge=1, le=10_000_000)] = Field(description="of the whole service, not of the slice")
    gpus_per_replica: Annotated[Whole, Field(ge=1, le=1024)] = sourced(
        1,
        (
            "GPUs that serve as one (tensor parallelism): a batch is on all of them; they start, fail and are "
            "paid together. The times of a profile are of such a replica, its watts of one GPU"
        ),
        assumed="assumed: a model fits on one GPU",
    )
    dollars_per_gpu_hour: Annotated[HourlyDollars, Field(le=1e6)] = sourced(
        2.5, "on demand", published="H100 on demand, 2025-26 market surveys: $2-3.5"
    )
    kinds: dict[str, KindOfGpu] = Field(
        default={},
        max_length=20,
        description="GPUs of several kinds, `gpus` in all. The kind that is taken last also leaves first, is lost "
        "first and is that of further GPUs",
    )
    takes_first: Literal["fastest", "cheapest"] = sourced(
        "fastest",
        (
            "of idle GPUs of several kinds: the one with the shortest time for an image, in full batches, or "
            "with the fewest dollars for it; on average over the pool's features, by their shares"
        ),
        assumed="assumed: as most load balancers by weight",
    )
    pays: Pays = Pays()
    reserved: Reserved = Reserved()
    spot: Spot = Spot()

    @model_validator(mode="after")
    def replicas_are_whole(self) -> Self:
        if self.gpus % self.gpus_per_replica:
            said = f"{self.gpus:,} GPUs make no whole replicas of {self.gpus_per_replica}"
            raise ValueError(f"gpus: {said}, expected a multiple of {self.gpus_per_replica}")
        return self

    @model_validator(mode="after")
    def kinds_fit(self) -> Self:
        if not self.kinds:
            if "takes_first" in self.model_fields_set:
                raise ValueError("takes_first: all GPUs are of one kind, expected 'kinds', or no such key")
            return self
        total = sum(kind.gpus for kind in self.kinds.values())
        if total != self.gpus:
            raise ValueError(f"gpus: {self.gpus:,}, but its kinds have {total:,}, expected the sum of theirs")
        for name, kind in self.kinds.items():
            if kind.gpus % self.gpus_per_replica:
                said = f"{kind.gpus:,} GPUs make no whole replicas of {self.gpus_per_replica}"
                raise ValueError(f"kinds.{name}.gpus: {said}, expected a multiple of {self.gpus_per_replica}")
        for key in ("reserved", "spot"):
            if key in self.model_fields_set:
                where = f"kinds.{next(iter(self.kinds))}.{key}"
                raise ValueError(f"{key}: each kind has contracts of its own, expected them there, like {where}")
        return self

    @property
    def replicas(self) -> int:
        """Of the whole service."""
        return self.gpus // self.gpus_per_replica


class Noise(Strict):
    """The noise on a batch's measured seconds: a factor of mean 1.

    "as measured" is lognormal with the spread between visits that the model's profile holds, and `cv` where it holds
    none (published medians do not). "empirical" draws from the raw samples that the profile holds, each over the mean
    of those measured with it; of a pipeline that was measured by components, from those of its steps.
    """

    kind: Literal["none", "lognormal", "as measured", "exponential", "uniform", "gamma", "weibull", "empirical"] = (
        "lognormal"
    )
    cv: Annotated[Plain, Field(gt=0, le=3)] = sourced(
        0.05,
        "coefficient of variation of the lognormal, uniform, gamma or Weibull law",
        assumed="bare GPU benchmarks 0.002-0.015, production at fixed spec 0.37 (GenTD26); between them",
    )

    @model_validator(mode="after")
    def is_positive(self) -> Self:
        if self.kind == "uniform" and self.cv > WIDEST:
            raise ValueError(f"cv: a uniform law of positive numbers varies by at most {WIDEST:.4f}, expected no more")
        return self

    @property
    def varies_by_cv(self) -> bool:
        """Whether the law depends on `cv`."""
        return self.kind not in ("none", "exponential", "empirical")

    @cached_property
    def shape(self) -> float:
        """The parameter of the law, by its coefficient of variation (see sim.model.chance.noise)."""
        if self.kind == "uniform":
            return math.sqrt(3.0) * self.cv
        if self.kind == "gamma":
            return self.cv**-2
        if self.kind == "weibull":
            return weibull_shape(self.cv)
        return math.sqrt(math.log1p(self.cv**2))


def weibull_shape(cv: float) -> float:
    """The shape of the Weibull law with this coefficient of variation: Γ(1 + 2/k) / Γ(1 + 1/k)² = 1 + cv²."""

    def excess(shape: float) -> float:
        return math.lgamma(1 + 2 / shape) - 2 * math.lgamma(1 + 1 / shape) - math.log1p(cv**2)

    return float(scipy.optimize.brentq(excess, 0.05, 1e5, xtol=1e-14, rtol=1e-14))


class Serving(Strict):
    """How the service treats its queue."""

    noise: Noise = Noise()
    gpu_speed_cv: Annotated[Plain, Field(ge=0, le=1)] = sourced(
        0.0,
        "coefficient of variation of the constant speed of single GPUs, lognormal of mean 1",
        assumed="assumed: none; cards of one kind differ by 0.01-0.02",
    )
    notices_leaving: bool = sourced(
        False,
        "whether a user who leaves the queue is taken out of it, or is served all the same (wasted)",
        assumed="assumed: closing a tab cancels nothing",
    )
    cancels_running: bool = sourced(
        False,
        (
            "whether what a GPU works on is stopped when its user leaves: at once where others run beside it "
            "(steps: at the end of the step), a batch once nobody waits for any of it"
        ),
        assumed="assumed: closing a tab cancels nothing",
    )
    lost_work: Literal["waits again", "is refused"] = sourced(
        WAITS_AGAIN,
        (
            "what becomes of a request whose GPU is lost: it waits again, before those that came later, or "
            "its user is refused, for the reason 'work lost'"
        ),
        assumed="assumed: a queue hands it out once more",
    )
    tells_refusals: bool = sourced(
        True,
        "whether who is refused learns so at once, or only when their patience is over",
        assumed="assumed: a page says so",
    )
    delivers_late: bool = sourced(
        False,
        "whether who has left is sent the image that is done all the same, if they still want one",
        assumed="assumed: a new try is another picture",
    )
    notifies_above: Seconds = sourced(
        math.inf,
        "expected wait above which a user is promised a notification, and so waits more patiently",
        written="never",
        assumed="assumed: nobody is notified",
    )


class Footprint(Strict):
    """From GPU energy to the meter and the air."""

    server_overhead: Annotated[Plain, Field(ge=1, le=100)] = sourced(
        1.5, "server power over GPU power", assumed="8-GPU nodes 1.4-1.6; MIT Technology Review uses 2"
    )
    pue: Annotated[Plain, Field(ge=1, le=100)] = sourced(
        1.17, "facility power over server power", published="Microsoft 1.17-1.18, AWS 1.15, Google 1.1"
    )
    grams_co2e_per_kwh: Annotated[Plain, Field(ge=0, le=1e6)] = sourced(
        370.0, published="United States grid, about 370; world 481 (Ember, 2023)"
    )
    grams_co2e_by_hour: list[Annotated[Plain, Field(ge=0, le=1e6)]] = Field(
        default=[],
        description="of each hour of the day (24 figures, UTC), or of each hour of the run, in place of the mean",
    )
    water_on_site: Annotated[Plain, Field(ge=0, le=1e3)] = sourced(
        0.27,
        "litres for each kWh of the servers (WUE), used to cool them",
        published="Microsoft 0.27, AWS 0.15; US average about 0.4",
    )
    water_of_grid: Annotated[Plain, Field(ge=0, le=1e3)] = sourced(
        7.6,
        "litres for each kWh at the meter, used where the electricity is made",
        published="United States, LBNL 2016; other sources 1-8, as they count consumption or withdrawal",
    )
    idle_watts: Annotated[Plain, Field(ge=0, le=1e6)] = sourced(
        100.0, "of a GPU that serves nothing, where the profile does not say", assumed="assumed, 75-120 W"
    )


class Sample(Strict):
    """Rows of some users only: always the same ones, whatever the playbook."""

    sample: Annotated[Fraction, Field(gt=0)] = Field(description="the share of users")


class Alive(Strict):
    """When this scenario calls the service alive.

    Cut the run into windows. A window is good if, of the requests it granted, at least `kept` got an image in time.
    Alive: at least `windows` of the windows with granted requests are good, and at least `attainment` of all asks of
    the whole run got an image in time (so that refusing everybody is not life).
    """

    window: Annotated[Seconds, Field(ge=1, allow_inf_nan=False)] = Field(default=3600.0, description="length of one")
    kept: Fraction = Field(default=0.8, description="of the requests granted in a window, in time if it is good")
    windows: Fraction = Field(default=0.9, description="of the windows, good if the service is alive")
    attainment: Fraction = Field(default=0.1, description="of all asks, in time if the service is alive")


@dataclass(frozen=True)
class Recording:
    """The rows that a run records besides its timeline: all, those of a share of the users, or none."""

    rows: bool = True
    sampled: float = 0.0  # the share, where not every row
