"""The readable engine's gateway: it refuses an attempt with a reason, or grants it a spec."""

import numpy as np

from sim.engine.clock import Clock
from sim.engine.readable.crowd import Crowd
from sim.engine.readable.pool import Pool
from sim.model.controls import Controls
from sim.model.gateway import GRANTED, decide, fresh_limiter, level_of, needs_limiter, rollout_lot, shed_draw
from sim.model.knobs import BUCKET, BUDGET, FLOW, OPEN, PER_FIRST, PER_SUCCESS, PRIORITY, RATIO, SHED, STICKY, WEIGHT
from sim.model.request import Request
from sim.model.retry import carried_over, deposited, withdrawn
from sim.model.streams import ATTEMPTS, MIX, draw
from sim.scenario.scenario import Scenario


class Gateway:
    """The knobs in force, and what the gateway remembers: of each account its use, of everybody the retry budget."""

    def __init__(self, env: Clock, scenario: Scenario, crowd: Crowd, controls: Controls, seed: int):
        self.env, self.crowd, self.controls, self.seed = env, crowd, controls, seed
        self.midnight, self.notifies_above = scenario.midnight, scenario.serving.notifies_above
        specs, features = scenario.specs(), list(scenario.features.values())
        self.ladders = [  # specs by feature and number of images, as asked for first
            [[specs.index(rung) for rung in ladder] for ladder in feature.ladders().values()] for feature in features
        ]
        self.meters = [sorted(set(scenario.meters())).index(meter) for meter in scenario.meters()]
        self.limiters: dict[tuple[int, int], np.ndarray] = {}  # by user and meter
        self.no_limiter = fresh_limiter()  # of users without limits: nothing is ever written into it
        self.in_flight: dict[int, int] = {}  # requests in the service, by user
        self.accounts: dict[int, int] = {}  # further accounts of a user
        self.tokens = 0.0  # retries that the budget pays for
        self.retries = controls.retries.copy()

    def begin_interval(self) -> None:
        """A control tick: the knobs hold as they are now, and rations are full again."""
        self.rows = [[(row, row.tolist()) for row in tier] for tier in self.controls.knobs]
        self.regions = self.controls.regions.tolist()
        before, self.retries = self.retries, self.controls.retries.copy()
        self.tokens = carried_over(before[BUDGET], self.retries[BUDGET], self.tokens, self.retries[BUCKET])
        self.granted = [[0] * len(tier) for tier in self.rows]  # by tier and feature

    def answer(self, request: Request, images: int, pool: Pool, *, there: bool = False) -> None:
        """Give the request its reason to be refused, or its spec, its flow and a place in `in_flight`.

        images: the index of the number of images in those that the feature offers. there: it was granted before the
        run began, and is not refused now.
        """
        user, tier, feature, now = request.user, request.tier, request.feature, self.env.now
        key, k = self.crowd.key[user], request.ask * ATTEMPTS + request.attempt
        row, knobs = self.rows[tier][feature]
        ladder, meter = self.ladders[feature][images], self.meters[feature]
        request.priority = int(knobs[PRIORITY])
        if request.attempt == 0 and self.retries[BUDGET] == PER_FIRST:
            self.deposit()
        wait = pool.expected_wait(request.priority)
        region = self.regions[self.crowd.region[user]]
        request.reason = decide(
            row,
            self.limiter(user, meter, row),
            now,
            self.midnight,
            now - self.crowd.born[user],
            self.in_flight.get(user, 0),
            self.granted[tier][feature],
            pool.inside,
            pool.queue_ahead(),
            wait,
            rollout_lot(knobs[OPEN], region, self.seed, key, meter, self.accounts.get(user, 0)),
            shed_draw(knobs[SHED], knobs[STICKY], now, self.seed, key, k),
        )
        if there:
            request.reason = GRANTED
        if request.reason != GRANTED:
            return
        self.granted[tier][feature] += not there
        self.in_flight[user] = self.in_flight.get(user, 0) + 1
        request.level = int(level_of(row, len(ladder) - 1, draw(self.seed, MIX, key, request.ask)))
        request.spec = ladder[request.level]
        request.key = key
        request.queue = pool.sent_to(request)
        request.flow = pool.flow_joined(request.queue, int(knobs[FLOW]), knobs[WEIGHT], key)
        request.notified = wait > self.notifies_above

    def limiter(self, user: int, meter: int, row: np.ndarray) -> np.ndarray:
        """The record of this user's use of this meter; kept only while a rate limit or quota is in force."""
        if not needs_limiter(row):
            return self.no_limiter
        found = self.limiters.get((user, meter))
        if found is None:
            found = self.limiters[user, meter] = fresh_limiter()
        return found

    def released(self, user: int) -> None:
        """One request of a user less in the service."""
        self.in_flight[user] -= 1

    def new_account(self, user: int) -> None:
        """A user signs up once more, under another name: the account is new, and nothing is remembered of it."""
        self.accounts[user] = self.accounts.get(user, 0) + 1
        self.crowd.born[user] = self.env.now
        for meter in self.meters:
            self.limiters.pop((user, meter), None)

    def succeeded(self) -> None:
        """An image is served, which may pay into the retry budget."""
        if self.retries[BUDGET] == PER_SUCCESS:
            self.deposit()

    def deposit(self) -> None:
        self.tokens = deposited(self.tokens, self.retries[RATIO], self.retries[BUCKET])

    def pays_for_retry(self) -> bool:
        """Whether the retry budget, where there is one, pays for a retry, which is then charged to it."""
        pays, self.tokens = withdrawn(self.retries[BUDGET], self.tokens)
        return bool(pays)
