"""The files that a scenario names: its profiles and recordings, loaded and checked against what it asks of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim import shipped
from sim.demand.recordings.trace import Trace, load_trace
from sim.demand.scripts import ANY, Replay, Source
from sim.errors import BadInput
from sim.model.request import Spec
from sim.profile.profile import Profile, load_profile
from sim.scenario.fields import ScenarioFields
from sim.scenario.parts import Pool
from sim.scenario.serving_options import BATCHES, STEPS


@dataclass(frozen=True)
class Files:
    """Where the files of a scenario are: a folder that paths are relative to, and what is at hand in place of a file.

    profiles: by model. traces: by the name under which demand replays them. before: the scenario that they belonged to,
    where another is made of it.
    """

    folder: Path | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    traces: Mapping[str, Trace] = field(default_factory=dict)
    before: ScenarioFields | None = None

    def profile(self, model: str, scenario: ScenarioFields) -> Profile | None:
        """The profile that is at hand for a model, unless the scenario now names another file for it."""
        found = self.profiles.get(model)
        if found is None or self.before is None:
            return found
        if scenario.profiles.get(model) != self.before.profiles.get(model):
            return None
        same = scenario.extrapolate == self.before.extrapolate
        return found if same else replace(found, extrapolate=scenario.extrapolate)


def profiles_for(scenario: ScenarioFields, files: Files) -> dict[str, Profile]:
    """The profiles of every model that a feature names, where every batch can be timed. Raises BadInput."""
    loaded: dict[str, Profile] = {}
    for name, feature in scenario.features.items():
        for place, spec in enumerate(feature.rungs()):
            rung = place % (1 + len(feature.ladder))
            key = f"features.{name}." + ("spec" if rung == 0 else f"ladder.{rung - 1}")
            if spec.model not in loaded:
                given = files.profile(spec.model, scenario)
                loaded[spec.model] = given or profile_for(scenario, spec.model, files.folder, f"{key}.model")
            check_times(loaded[spec.model], spec, scenario.pools[feature.pool], key)
            for kind, of in scenario.pools[feature.pool].kinds.items():
                key = f"pools.{feature.pool}.kinds.{kind}.profiles.{spec.model}"
                model = of.profiles.get(spec.model, spec.model)
                if model not in loaded:
                    given = files.profile(model, scenario)
                    loaded[model] = given or profile_for(scenario, model, files.folder, key)
                check_times(loaded[model], spec, scenario.pools[feature.pool], key)
    return loaded


def profile_for(scenario: ScenarioFields, model: str, folder: Path | None, key: str) -> Profile:
    try:
        path = shipped.find("profiles", scenario.profiles.get(model, model), ".json", folder)
    except BadInput as wrong:
        raise wrong.but(file=None, key=key) from None
    return load_profile(path, extrapolate=scenario.extrapolate)


def check_times(profile: Profile, spec: Spec, pool: Pool, key: str) -> None:
    """The profile knows how long this takes, for every number of images that may run at once."""
    try:
        if pool.runs == STEPS:
            profile.steps(spec, pool.sizes(spec.images))
        for size in pool.sizes(spec.images) if pool.runs == BATCHES else [spec.images]:
            profile.batch_seconds(spec, size)
    except BadInput as wrong:
        raise wrong.but(file=None, key=key, value=wrong.key) from None


def traces_for(scenario: ScenarioFields, files: Files) -> dict[str, Trace]:
    """Every recording that demand replays, where the service offers what was recorded. Raises BadInput."""
    loaded: dict[str, Trace] = {}
    for number, source in enumerate(scenario.demand.traces):
        key = f"demand.traces.{number}"
        if source.file not in loaded:
            path = (files.folder or Path()) / source.file
            if source.file not in files.traces and not path.is_file():
                expected = "a file written by 'meltpoint demand import', relative to the scenario's"
                raise BadInput("there is no such recording", key=f"{key}.file", value=source.file, expected=expected)
            loaded[source.file] = files.traces.get(source.file) or load_trace(path)
        check_recording(scenario, source, loaded[source.file], key)
    return loaded


def check_recording(scenario: ScenarioFields, source: Replay, trace: Trace, key: str) -> None:
    """Every kind that is given a feature was recorded, and the features offer every number of images recorded."""
    for kind in source.features:
        if kind not in trace.kinds:
            message, expected = "nothing of this kind was recorded", f"one of {', '.join(map(repr, trace.kinds))}"
            raise BadInput(message, key=f"{key}.features", value=kind, expected=expected)
    if not source.images:
        return
    features, chosen = list(scenario.features.values()), features_of(scenario, source, trace)
    for recorded, images in {(int(k), int(n)) for k, n in zip(trace.kind, trace.images, strict=True)}:
        feature = int(chosen[recorded])
        for offered in features if feature == ANY else [features[feature]]:
            if images not in offered.ladders():
                expected = f"one of {list(offered.ladders())}; list it under the feature's 'images'"
                message = "requests for this many images were recorded, but no feature offers them"
                raise BadInput(message, key=f"{key}.images", value=images, expected=expected)


def features_of(scenario: ScenarioFields, source: Source, trace: Trace | None) -> NDArray[np.int64]:
    """The feature for each kind that a source recorded, the last entry for an unknown kind; ANY means drawn."""
    names = list(scenario.features)
    usual = names.index(source.feature) if source.feature else ANY
    if trace is None or not isinstance(source, Replay):
        return np.array([usual])
    chosen = [source.features.get(kind, "") for kind in trace.kinds]
    return np.array([*[names.index(name) if name else usual for name in chosen], usual])
