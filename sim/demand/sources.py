"""The sources of demand (signup waves, API clients, recordings) and what shapes them all."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from sim.demand.scripts import Clients, Replay
from sim.demand.season import Region, Season
from sim.demand.waves.launches import Use, expanded
from sim.demand.waves.signups import AnyWave
from sim.demand.word_of_mouth import WordOfMouth
from sim.schema import Strict, sourced
from sim.units import Fraction, Instant, Seconds

WORD_OF_MOUTH = "word of mouth"  # the source of people whom images bring
LISTS = {"clients": "clients", "trace": "traces"}  # the list of a source by its kind; any other kind is a wave


class Opening(Strict):
    """A tier that opens at a date: people who would have come before come then, or not at all."""

    at: Instant
    pent_up: Fraction = sourced(
        0.5,
        "of the people who would have come before, the share that comes when it opens",
        assumed="assumed: nothing is published",
    )
    within: Annotated[Seconds, Field(allow_inf_nan=False)] = sourced(
        6 * 3600.0, "mean time until these come, exponential", assumed="assumed: nothing is published"
    )


def as_written(schema: dict[str, Any]) -> None:
    """The JSON schema for editors: presets among the waves; a list of sources, or one, in place of the mapping."""
    mapping = dict(schema)
    waves = mapping["properties"]["waves"]["items"]
    waves.pop("discriminator", None)
    waves["oneOf"].append(Use.model_json_schema(by_alias=True))
    one = {"oneOf": [*waves["oneOf"], *[mapping["properties"][name]["items"] for name in LISTS.values()]]}
    schema.clear()
    schema["anyOf"] = [mapping, {"type": "array", "items": one, "minItems": 1}, one]


class Demand(Strict):
    """All sources together. Written as a list, or as one source alone, the rest is left at its defaults."""

    model_config = ConfigDict(json_schema_extra=as_written)

    waves: list[AnyWave] = Field(
        default=[], max_length=1000, description="people who sign up, or come back, and then behave as people"
    )
    clients: list[Clients] = Field(default=[], max_length=1000, description="programs that call an API")
    traces: list[Replay] = Field(default=[], max_length=1000, description="recordings to replay")
    regions: dict[str, Region] = Field(
        default={}, max_length=100, description="where people live; without regions all are the same"
    )
    season: Season = Season()
    openings: dict[str, Opening] = Field(default={}, description="tiers that open at a date")
    word_of_mouth: WordOfMouth | None = None

    @model_validator(mode="before")
    @classmethod
    def sorted_by_kind(cls, value: Any) -> Any:
        if not isinstance(value, dict | list):
            raise ValueError("expected a list of sources, or a mapping with 'waves', 'clients' and 'traces'")
        if isinstance(value, dict) and "kind" in value:
            value = [value]
        if isinstance(value, list):
            lists: dict[str, list[Any]] = {"waves": [], "clients": [], "traces": []}
            for source in value:
                kind = source.get("kind") if isinstance(source, dict) else None
                lists[LISTS.get(kind, "waves") if isinstance(kind, str) else "waves"].append(source)
            value = lists
        if isinstance(value, dict) and isinstance(value.get("waves"), list):
            value = {**value, "waves": expanded(value["waves"])}
        return value

    @model_validator(mode="after")
    def something_comes(self) -> "Demand":
        if not (self.waves or self.clients or self.traces):
            raise ValueError("expected at least one wave, client or trace")
        if self.regions and abs(sum(region.share for region in self.regions.values()) - 1) > 1e-6:
            raise ValueError("regions: the shares must add up to 1")
        taken = {WORD_OF_MOUTH} if self.word_of_mouth is not None else set()
        for name in self.names():  # tables tell their people apart by it
            if name in taken or not name.strip():
                raise ValueError(f"expected a name of its own for each source: {name!r} is blank, or taken")
            taken.add(name)
        return self

    def check_names(self, tiers: dict[str, float], features: list[str]) -> None:
        """Raise ValueError for a tier (given with its share) or feature that is not there, or tiers without people."""
        named = [(f"waves.{n}.tiers", wave.tiers) for n, wave in enumerate(self.waves) if wave.tiers]
        sources: dict[str, Sequence[Any]] = {"waves": self.waves, "clients": self.clients, "traces": self.traces}
        for kind, n, source in [(kind, n, one) for kind, listed in sources.items() for n, one in enumerate(listed)]:
            named += [(f"{kind}.{n}.tier", [source.tier])] if getattr(source, "tier", "") else []
            for feature in [getattr(source, "feature", ""), *getattr(source, "features", {}).values()]:
                if feature and feature not in features:
                    raise ValueError(
                        f"demand.{kind}.{n}: no feature {feature!r}, expected one of {', '.join(features)}"
                    )
        for key, listed in [*named, ("openings", list(self.openings))]:
            for tier in listed:
                if tier not in tiers:
                    raise ValueError(f"demand.{key}: no tier {tier!r}, expected one of {', '.join(tiers)}")
            if key != "openings" and not sum(tiers[tier] for tier in listed) > 0:
                raise ValueError(f"demand.{key}: nobody is in {listed}, expected a tier with a share above 0")

    @property
    def scripted(self) -> list[Clients | Replay]:
        """The sources that ask at instants known beforehand: programs and recordings, in the order of their numbers."""
        return [*self.clients, *self.traces]

    def names(self) -> list[str]:
        """Every source's name, in the order of their numbers: waves, clients, traces."""
        sources = [*self.waves, *self.scripted]
        return [source.name or f"{source.kind} {number}" for number, source in enumerate(sources)]


def seconds_after(start: datetime, instant: float | datetime) -> float:
    """Seconds from the start of a scenario to an instant (negative before it)."""
    return (instant - start).total_seconds() if isinstance(instant, datetime) else instant
