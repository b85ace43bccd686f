"""The people of a run: who arrives when, of which tier, with how old an account. No policy can change them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.signups import wave_instants
from sim.scenario import Scenario
from sim.streams import TIER, draws

WAVE_SHIFT = 40  # a wave has room for 2^40 people


@dataclass(frozen=True)
class People:
    """Arrays over people, in order of arrival.

    `key` names a person in random draws: it holds the wave and the person's number in it, so that a change to one wave
    leaves the people of the others as they are.
    """

    arrives: NDArray[np.float64]  # seconds
    key: NDArray[np.int64]
    wave: NDArray[np.int16]
    tier: NDArray[np.int16]
    account_age: NDArray[np.float64]  # seconds, on arrival
    newcomer: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.arrives)


def people_of(scenario: Scenario, seed: int) -> People:
    """Everybody who arrives before the horizon, for one seed."""
    instants, keys, waves = [], [], []
    for number, wave in enumerate(scenario.demand.waves):
        begins = scenario.seconds(wave.from_)
        times = wave_instants(wave, number, begins=begins, horizon=scenario.horizon, scale=scenario.scale, seed=seed)
        instants.append(times)
        keys.append((np.int64(number) << WAVE_SHIFT) + np.arange(len(times), dtype=np.int64))
        waves.append(np.full(len(times), number, dtype=np.int16))
    arrives, key, wave_of = np.concatenate(instants), np.concatenate(keys), np.concatenate(waves)
    order = np.lexsort((key, arrives))
    arrives, key, wave_of = arrives[order], key[order], wave_of[order]
    shares = np.cumsum([tier.share for tier in scenario.tiers.values()])
    tier = np.searchsorted(shares[:-1], draws(seed, TIER, key, 0), side="right").astype(np.int16)
    ages = np.array([wave.account_age for wave in scenario.demand.waves])
    newcomers = np.array([wave.newcomers for wave in scenario.demand.waves])
    return People(arrives, key, wave_of, tier, ages[wave_of], newcomers[wave_of])
