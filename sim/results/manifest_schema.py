"""The schema of a saved run's manifest: what each key may hold, so that a damaged one is refused before it is believed.

`sim.results.manifest` writes what this describes.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from sim.scenario.checks import CheckedFields
from sim.schema import Strict

MOST = 1e15  # of any figure: products of a few of them are still numbers
NotNegative = Annotated[float, Field(ge=0, le=MOST)]
Positive = Annotated[float, Field(gt=0, le=MOST)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Crc32 = Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]

PEOPLE = ("came", "let_in", "lost", "invited", "churned", "everybody")


class Part(Strict):
    """A part of a manifest: a number is a number, not a text that looks like one, and is finite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class RecordedRows(Part):
    rows: bool
    sampled: Share


class FeatureFacts(Part):
    pool: str
    slo: Positive
    slo_first_token: Positive | None = None
    slo_per_token: Positive | None = None
    share: Share
    model: str
    batches: NotNegative
    degraded_quality: Share
    gpu_seconds: Positive
    seconds: Positive


class PaysFacts(Part):
    failed: bool
    switched_off: bool
    ordered: bool


class ReservedFacts(Part):
    gpus: NotNegative
    dollars_per_gpu_hour: NotNegative | None
    discount: Share


class SpotFacts(ReservedFacts):
    interruptions_per_hour: NotNegative


class KindFacts(Part):
    kind: str
    gpus_in_full: NotNegative
    dollars_per_gpu_hour: NotNegative
    reserved: ReservedFacts
    spot: SpotFacts


class PoolFacts(Part):
    gpus: Annotated[int, Field(ge=0, le=int(MOST))]
    gpus_in_full: NotNegative
    gpus_per_replica: Annotated[int, Field(ge=1)]
    runs: Literal["batches", "steps", "threads"]
    max_batch: Annotated[int, Field(ge=1)]
    linger: NotNegative
    dollars_per_gpu_hour: NotNegative
    pays: PaysFacts
    load_seconds: NotNegative
    reserved: ReservedFacts
    spot: SpotFacts
    kinds: list[KindFacts]
    idle_watts: NotNegative
    gpu_seconds: dict[str, Positive]


class Retries(Part):
    at_most: Count
    probability: Share
    after_leaving: Share


class BehaviourFacts(Part):
    median_patience: NotNegative | None
    impatient: bool
    retrying: list[str]
    retries: Retries


class SpecFacts(Part):
    model: str
    images: Annotated[int, Field(ge=1)]


class ProfileFacts(Part):
    sha256: Sha256
    provenance: str
    source: str
    gpu: str
    idle_power_source: str


class WordOfMouthFacts(Part):
    market: Positive
    factor: NotNegative


class FootprintFacts(Part):
    server_overhead: Positive
    pue: Positive
    grams_co2e_per_kwh: NotNegative
    grams_co2e_by_hour: list[NotNegative]
    water_on_site: NotNegative
    water_of_grid: NotNegative
    idle_watts: NotNegative


class AliveFacts(Part):
    window: Annotated[float, Field(ge=1)]
    kept: Share
    windows: Share
    attainment: Share


class PeakFacts(Part):
    """Offered load over a time, seconds, since an instant; GPUs of work at full scale, and of it for model loads."""

    seconds: Positive
    at: NotNegative
    work: NotNegative
    loading: NotNegative


class Manifest(Part):
    """All that the tables need to be read; times in seconds, counts those of the slice."""

    format: str
    title: str
    question: str
    start: str
    horizon: Annotated[float, Field(gt=0, le=1e10)]
    warm_up: NotNegative
    scale: Annotated[float, Field(gt=0, le=1)]
    playbook: str
    seed: Count
    engine: Literal["compiled", "simpy"]
    recording: RecordedRows
    versions: dict[str, str]
    wall_seconds: NotNegative
    tiers: Annotated[dict[str, Share], Field(min_length=1)]
    features: Annotated[dict[str, FeatureFacts], Field(min_length=1)]
    behaviour: BehaviourFacts
    unlimited: bool
    pools: Annotated[dict[str, PoolFacts], Field(min_length=1)]
    specs: Annotated[dict[str, SpecFacts], Field(min_length=1)]
    profiles: dict[str, ProfileFacts]
    extrapolated: list[str]
    notices_leaving: bool
    word_of_mouth: WordOfMouthFacts | None
    footprint: FootprintFacts
    alive: AliveFacts
    cells: Annotated[int, Field(ge=1)]
    offered_load: dict[str, list[PeakFacts]] = {}
    scenario: dict[str, Any]

    @model_validator(mode="after")
    def hold_together(self) -> Self:
        """What one part names is in the other, and the times follow each other."""
        try:
            begins = datetime.fromisoformat(self.start)
            begins + timedelta(seconds=self.horizon)
        except (ValueError, OverflowError):
            raise ValueError("start: expected a date from which the horizon can be reached") from None
        if begins.tzinfo is None:
            raise ValueError("start: expected a date with its zone")
        if self.scenario:  # {}: not of a scenario's making
            CheckedFields.model_validate(self.scenario)
        if self.warm_up >= self.horizon:
            raise ValueError("warm_up: expected less than the horizon")
        for name, feature in self.features.items():
            if feature.pool not in self.pools:
                raise ValueError(f"features.{name}.pool: expected one of {', '.join(self.pools)}")
        for name, pool in self.pools.items():
            for spec in pool.gpu_seconds:
                if spec not in self.specs:
                    raise ValueError(f"pools.{name}.gpu_seconds.{spec}: expected one of {', '.join(self.specs)}")
        return self


class TimelineFacts(Part):
    """The part of a timeline that is in the manifest: how wide a bin is, seconds, and what became of people."""

    width: Positive
    people: dict[str, Count]

    @model_validator(mode="after")
    def every_count(self) -> Self:
        if set(self.people) != set(PEOPLE):
            raise ValueError(f"people: expected {', '.join(PEOPLE)}")
        return self


class SavedManifest(Manifest):
    """With what saving adds: the checksums of the files beside it, its own, and the categories of their columns."""

    files: dict[str, Crc32]
    categories: dict[str, dict[str, list[str]]]
    timeline: TimelineFacts | None = None
    sha256: Sha256
