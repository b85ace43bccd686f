"""The scenario: one question put to the simulator, with the profiles and recordings it names, in one object."""

import dataclasses
import hashlib
import json
import math
from bisect import bisect
from collections.abc import Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr, ValidationError, ValidationInfo, model_validator

from sim.demand.recordings.trace import Trace
from sim.demand.scripts import Replay, Source
from sim.errors import BadInput
from sim.model.request import Spec
from sim.policies.base import MOVING
from sim.policies.playbook import Step
from sim.profile.profile import Profile, Steps
from sim.scenario.checks import CheckedFields, named_pools
from sim.scenario.document import explained, refuse_unusable, with_setting
from sim.scenario.named_files import Files, features_of, profiles_for, traces_for
from sim.scenario.parts import Pool
from sim.scenario.serving_options import BATCHES, STEPS


class Scenario(CheckedFields):
    """One question: who comes, what they want, what serves them, and the playbooks to compare.

    It cannot be changed; `with_` makes another. Two scenarios are equal if they say the same, whatever words they use
    for it ('2 hours' or '120 min'), and their profiles and recordings are the same.
    """

    _files: Files = PrivateAttr(default_factory=Files)

    @model_validator(mode="after")
    def with_files(self, info: ValidationInfo) -> Self:
        """Load what the scenario names. Raises BadInput, here rather than in the run."""
        if not self._files.profiles:  # else it is a scenario already, validated once more as part of something
            given = info.context if isinstance(info.context, Files) else Files()
            self._files = Files(given.folder, profiles_for(self, given), traces_for(self, given))
            for model in self._files.profiles:
                self.noise_factors(model)
            self.check_moves()
        return self

    def check_moves(self) -> None:
        """GPUs of the kind taken last move, and stay of their kind. Raises ValueError for pools where it is another."""
        for key, step in self.steps():
            pools = named_pools(step.policy) if step.policy.takes == MOVING else []
            taken = {pool: next(reversed(self.kinds_taken[pool]), "") for pool in pools}
            if len(set(taken.values())) > 1:
                last = " and ".join(
                    f"{kind!r} in {pool!r}" if kind else f"unnamed in {pool!r}" for pool, kind in taken.items()
                )
                expected = "one kind of the same name in both; a pool of one kind may name it under 'kinds' too"
                raise ValueError(f"{key}.policy: the kind taken last, which moves, is {last}, expected {expected}")

    @classmethod
    def from_dict(
        cls,
        document: dict[str, Any],
        *,
        near: Path | None = None,
        profiles: Mapping[str, Profile] | None = None,
        traces: Mapping[str, Trace] | None = None,
    ) -> Self:
        """A scenario from plain values as in YAML. Raises BadInput with the key and what was expected.

        near: folder that paths are relative to; profiles, traces: by name, in place of files.
        """
        return cls.checked(document, Files(near, profiles or {}, traces or {}))

    def with_(self, **changes: Any) -> Self:
        """Another scenario with some keys changed, checked as if a file said so. Raises BadInput.

        A value is what a file would have: with_(horizon='30 min'). Nested keys are dotted as in --set, or mappings laid
        over what is there as in an override; None takes a key away:

            scenario.with_(**{'pools.gpus.gpus': 9000})
            scenario.with_(pools={'gpus': {'gpus': 9000}}, warm_up=None)
        """
        document = self.document
        for key, value in changes.items():
            document = with_setting(document, key, value, over=True)
        return self.of_document(document)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Another scenario with some fields changed: with_ for values as Python has them, like 1800 for 30 minutes."""
        for name in update or {}:
            if name not in type(self).model_fields:
                expected = f"one of {', '.join(type(self).model_fields)}"
                raise BadInput("a scenario has no such field", key=name, expected=expected)
        return self.of_document(written(super().model_copy(update=update))) if update else self

    def of_document(self, document: dict[str, Any]) -> Self:
        """A scenario of this document that has this one's profiles and recordings, where it still names them."""
        return self.checked(document, dataclasses.replace(self._files, before=self))

    @classmethod
    def checked(cls, document: dict[str, Any], files: Files) -> Self:
        """A scenario of this document with these files. Raises BadInput."""
        refuse_unusable(document)
        try:
            return cls.model_validate(document, context=files)
        except ValidationError as wrong:
            raise explained(wrong, document, cls) from None

    @property
    def document(self) -> dict[str, Any]:
        """The scenario as plain values that a file could hold: from_dict makes the same scenario of them."""
        return written(self)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the scenario says, defaults included, and of its profiles and recordings."""
        return self.digest_without()

    def digest_without(self, *keys: str) -> str:
        """The same of all but some keys of the scenario, like its title."""
        document = {key: value for key, value in written(self, defaults=True).items() if key not in keys}
        found = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
        named = [name for name in ("tiers", "features", "pools", "playbooks") if name not in keys]
        order = {name: list(getattr(self, name)) for name in named}
        profiles = {name: [profile.sha256, profile.extrapolate] for name, profile in self.used_profiles.items()}
        found.update(json.dumps([order, dict(sorted(profiles.items()))]).encode())
        for name, trace in sorted(self.traces.items()):
            facts = {f.name: getattr(trace, f.name) for f in dataclasses.fields(trace)}
            arrays = {n: v for n, v in {**facts, **facts.pop("extra")}.items() if isinstance(v, np.ndarray)}
            found.update(repr([name, *[(n, str(v)) for n, v in facts.items() if n not in arrays]]).encode())
            for values in arrays.values():
                found.update(values.tobytes())
        return found.hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Scenario) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Scenario {self.title!r}: {self.horizon / 3600:g} h, playbooks {', '.join(self.playbooks)}>"

    @property
    def traces(self) -> Mapping[str, Trace]:
        """The recording behind each file that demand replays."""
        return self._files.traces

    @property
    def used_profiles(self) -> Mapping[str, Profile]:
        """The profile of each model named in a spec."""
        return self._files.profiles

    def features_of(self, source: Source) -> NDArray[np.int64]:
        """The feature for each kind that a source recorded, the last entry for an unknown kind; ANY means drawn."""
        return features_of(self, source, self.traces[source.file] if isinstance(source, Replay) else None)

    def batch_tables(self, pool: str) -> dict[Spec, dict[int, float]]:
        """Seconds of a batch by its size in images, for every spec that this pool may serve.

        Where a pool runs steps or threads: until that number of images are done that are begun and run together. Where
        its GPUs are of several kinds: of a mean GPU, of which as many do as much.
        """
        first, *others = self.tables_by_kind(pool)
        return {s: {n: self.mean(pool, [t[n], *(o[s][n] for o in others)]) for n in t} for s, t in first.items()}

    def mean(self, pool: str, seconds: list[float]) -> float:
        """Seconds of a mean GPU of a pool, of those of its kinds in the order in which they are taken."""
        if len(set(seconds)) == 1 or not all(seconds):
            return seconds[0]
        counts = [self.pools[pool].kinds[kind].gpus for kind in self.kinds_taken[pool]]
        return self.pools[pool].gpus / sum(count / each for count, each in zip(counts, seconds, strict=True))

    def specs_of(self, pool: str) -> list[Spec]:
        """Every spec that a pool may serve."""
        return list(dict.fromkeys(rung for f in self.features.values() if f.pool == pool for rung in f.rungs()))

    def profile_on(self, pool: str, kind: int, model: str) -> Profile:
        """The profile of a model on the GPUs of a pool. kind: in the order in which they are taken."""
        return self.profile_of_kind(pool, self.kinds_taken[pool][kind] if self.pools[pool].kinds else "", model)

    def profile_of_kind(self, pool: str, kind: str, model: str) -> Profile:
        """The same for a kind's name; '' in a pool of one kind."""
        named = self.pools[pool].kinds[kind].profiles if kind else {}
        return self.used_profiles[named.get(model, model)]

    def tables_by_kind(self, pool: str) -> list[dict[Spec, dict[int, float]]]:
        """The batch tables of each kind of GPU, in the order in which they are taken; a single one in other pools."""
        return self.tables_of_kinds[pool]

    @cached_property
    def tables_of_kinds(self) -> dict[str, list[dict[Spec, dict[int, float]]]]:
        """These of every pool: a profile is asked once."""
        return {pool: [self.table_on(pool, kind) for kind in self.kinds_taken[pool] or [""]] for pool in self.pools}

    def table_on(self, pool: str, kind: str) -> dict[Spec, dict[int, float]]:
        """Seconds of batches on one kind of GPU."""
        options, found = self.pools[pool], {}
        for spec in self.specs_of(pool):
            if options.runs == BATCHES:
                profile = self.profile_of_kind(pool, kind, spec.model)
                found[spec] = {n: profile.batch_seconds(spec, n) for n in options.sizes(spec.images)}
            else:
                t = self.steps_on(spec, pool, kind)
                found[spec] = {n: n // spec.images * t.opening[spec.images] + t.passes * t.each[n] for n in t.each}
        return found

    @cached_property
    def kinds_taken(self) -> dict[str, list[str]]:
        """The kinds of GPUs of each pool, in the order in which idle ones are taken; GPUs are numbered in it."""
        found = {}
        for name, pool in self.pools.items():

            def takes(kind: str, name: str = name, pool: Pool = pool) -> float:
                tables, price = self.table_on(name, kind), 1.0
                if pool.takes_first == "cheapest":
                    given = pool.kinds[kind].dollars_per_gpu_hour
                    price = pool.dollars_per_gpu_hour if given is None else given
                asked = [(f.share, tables[f.rungs()[0]]) for f in self.features.values() if f.pool == name]
                return price * sum(share * table[max(table)] / max(table) for share, table in asked)

            found[name] = sorted(pool.kinds, key=takes)
        return found

    @cached_property
    def kind_ends(self) -> dict[str, list[int]]:
        """For each kind of GPU of a pool in that order, the number of the slice's first replica that is beyond it."""
        found = {}
        for name, pool in self.pools.items():
            replicas = [pool.kinds[kind].gpus // pool.gpus_per_replica for kind in self.kinds_taken[name]]
            found[name] = list(accumulate(round(number * self.scale) for number in replicas))
        return found

    @property
    def staying(self) -> dict[str, int]:
        """GPUs of the whole service, in pools of several kinds, of every kind but the one that is taken last."""
        kinds = {name: self.pools[name].kinds for name, taken in self.kinds_taken.items() if taken}
        return {name: sum(of[kind].gpus for kind in self.kinds_taken[name][:-1]) for name, of in kinds.items()}

    def kind_of(self, pool: str, gpu: int) -> int:
        """The kind of a GPU (a replica, where it has several) of the slice: its place among those of the pool."""
        return bisect(self.kind_ends[pool][:-1], gpu)

    def in_force(self, playbook: str) -> list[Step]:
        """The steps under a playbook: those that are always in force, then its own."""
        return [*self.always, *self.playbooks[playbook]]

    def steps_of(self, spec: Spec, pool: str) -> list[Steps]:
        """What a request takes in a pool that runs steps or threads: on a mean GPU, then on each of several kinds."""
        found = [self.steps_on(spec, pool, kind) for kind in self.kinds_taken[pool] or [""]]
        if len(found) == 1:
            return found
        opening, each = (
            {n: self.mean(pool, [getattr(of, part)[n] for of in found]) for n in found[0].each}
            for part in ("opening", "each")
        )
        whole = self.pools[pool].runs == STEPS
        passes = found[0].passes if whole else self.mean(pool, [of.passes for of in found])
        return [Steps(opening, each, passes, found[0].first), *found]

    def steps_on(self, spec: Spec, pool: str, kind: str) -> Steps:
        """The same on one kind of GPU, by the images (threads) that one has of this spec.

        Threads share a GPU evenly: with n of them a pass, a second of work, lasts n seconds.
        """
        options, profile = self.pools[pool], self.profile_of_kind(pool, kind, spec.model)
        sizes = options.sizes(spec.images)
        if options.runs == STEPS:
            return profile.steps(spec, sizes)
        threads = {n: n / spec.images for n in sizes}
        return Steps(dict.fromkeys(sizes, 0.0), threads, profile.batch_seconds(spec, spec.images), 0)

    def noise_shape(self, model: str) -> float:
        """The parameter of the noise on a batch's time for one model, like sigma where it is lognormal."""
        if self.serving.noise.kind == "empirical":
            return float(len(self.noise_factors(model)))
        measured = self.used_profiles[model].spread if self.serving.noise.kind == "as measured" else math.nan
        return self.serving.noise.shape if math.isnan(measured) else measured

    def noise_factors(self, model: str) -> list[float]:
        """The factors that empirical noise draws from. Raises BadInput for a profile without raw samples."""
        return self.used_profiles[model].factors() if self.serving.noise.kind == "empirical" else []


def written(scenario: Scenario, *, defaults: bool = False) -> dict[str, Any]:
    """The fields as a file would write them: those that were set, or all of them."""
    return scenario.model_dump(mode="json", by_alias=True, exclude_unset=not defaults, warnings=False)
