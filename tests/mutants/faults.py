"""The faults: one-line changes of rules, of both engines at once, and of figures, each with the tests that see it.

A fault made in both engines is invisible to tests that compare them, so none of these is relied on here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

Edit = tuple[str, str, str]  # a file of the package, a text that it has exactly once, and what stands there instead


@dataclass(frozen=True)
class Fault:
    """A fault in words; the edits that make it; and the tests of which one must fail, as pytest names them."""

    name: str
    edits: Sequence[Edit]
    tests: Sequence[str]


def fault(name: str, tests: str, *edits: Edit) -> Fault:
    """tests: FILE::TEST, each without 'test_', and the file without '.py'."""
    return Fault(name, edits, ["tests/test_{}.py::test_{}".format(*one.split("::")) for one in tests.split()])


DROPPING, DISPATCH, GATEWAY = "model/dropping.py", "model/dispatch.py", "model/gateway.py"
RETRY, CHOICES, CHANCE = "model/retry.py", "model/choices.py", "model/chance.py"
# The readable engine, and beside it the compiled one.
POOL, SERVICE = "engine/readable/pool.py", "engine/readable/service.py"
POOL_2, GPUS, SERVICE_2 = "engine/compiled/pool.py", "engine/compiled/gpus.py", "engine/compiled/service.py"
STORMS, SATURATION, ENERGY = "results/storms.py", "results/saturation.py", "results/energy.py"
RETRY_RULES = "results/retry_rules.py"
INTENTS = "results/intents.py"
LATENCIES, THEORY = "results/latencies.py", "results/theory.py"

OF_RULES = [
    fault(
        "CoDel forgets a spell after 8 intervals",
        "mechanisms::codel_drops_the_requests_that_the_pseudocode_of_its_rfc_drops",
        (DROPPING, "< 16 * interval", "< 8 * interval"),
    ),
    fault(
        "folly's CoDel drops at the target",
        "rules::folly_drops_in_overload_only_what_has_waited_for_more_than_twice_the_target",
        (DROPPING, "> 2.0 * target", "> target"),
    ),
    fault(
        "expiry forgets the service time",
        "rules::expiry_counts_the_service_as_waited_only_with_foresight",
        (DROPPING, "(seconds if pool[FORESIGHT] > 0 else 0.0)", "0.0"),
    ),
    fault(
        "the sharing quantum is not divided by the heaviest weight",
        "mechanisms::a_flow_of_the_least_weight_waits_for_one_round_of_the_others_however_weights_are_written",
        ("model/sharing.py", "weights[flow] / heaviest", "weights[flow]"),
    ),
    fault(
        "last in, first out only within a lane",
        "mechanisms::last_in_first_out_serves_the_latest_whatever_its_spec",
        (DISPATCH, "return earlier != (order == LIFO)", "return earlier"),
    ),
    fault(
        "shortest first is longest first",
        "sharing::the_longest_waits_for_all_that_are_shorter",
        (DISPATCH, "return work < other_work", "return work > other_work"),
    ),
    fault(
        "work of the same priority is not ahead",
        "gateway::a_wait_bound_counts_the_work_before_a_request",
        (DISPATCH, "if lane_priority <= priority", "if lane_priority < priority"),
    ),
    fault(
        "a full batch waits for one more",
        "service::a_gpu_lingers_until_the_batch_is_full",
        (DISPATCH, "waiting_images >= full", "waiting_images > full"),
    ),
    fault(
        "a power cap slows nothing",
        "mechanisms::a_power_cap_saves_energy_by_the_law_of_its_clock",
        (DISPATCH, "seed, SERVICE, key, k) * slowdown", "seed, SERVICE, key, k)"),
    ),
    fault(
        "the token bucket holds one more",
        "rules::a_rested_user_may_make_exactly_a_burst",
        (GATEWAY, "(burst - 1.0) / rate", "burst / rate"),
    ),
    fault(
        "a rolling quota grants one more",
        "rules::a_rolling_quota_runs_from_the_first_use",
        (GATEWAY, "limiter[ROLL_USED] < quota", "limiter[ROLL_USED] <= quota"),
    ),
    fault(
        "a sliding quota grants one less",
        "rules::a_sliding_quota_gives_exactly_itself_in_any_window",
        (GATEWAY, "limiter[NEXT_SLOT] - quota)", "limiter[NEXT_SLOT] - quota + 1)"),
    ),
    fault(
        "a sliding counter weighs the window before wrongly",
        "rules::a_sliding_counter_takes_the_window_before_as_spread_evenly",
        (GATEWAY, "(1.0 - elapsed) + used", "elapsed + used"),
    ),
    fault(
        "one request more at once",
        "rules::the_edges_of_every_bound",
        (GATEWAY, "in_flight >= knobs[CONCURRENCY]", "in_flight > knobs[CONCURRENCY]"),
    ),
    fault(
        "a ration grants one more",
        "rules::the_edges_of_every_bound",
        (GATEWAY, "granted >= knobs[RATION]", "granted > knobs[RATION]"),
    ),
    fault(
        "a limit lets one more in",
        "rules::the_edges_of_every_bound",
        (GATEWAY, "inside >= knobs[LIMIT]", "inside > knobs[LIMIT]"),
    ),
    fault(
        "a bounded queue has room for one more",
        "rules::the_edges_of_every_bound",
        (GATEWAY, "queued >= knobs[QUEUE]", "queued > knobs[QUEUE]"),
    ),
    fault(
        "without room for a queue, an idle GPU takes nobody",
        "gateway::a_queue_bound_of_nothing_is_a_service_without_a_queue",
        (GATEWAY, "return -1 if queued == 0 and idle > 0 else queued", "return queued"),
    ),
    fault(
        "regions do not matter to a roll-out",
        "access::a_region_is_open_to_a_share_of_its_users_and_to_the_same_all_the_time",
        (GATEWAY, "METERS * accounts) / region_open", "METERS * accounts)"),
    ),
    fault(
        "a user who is shed is drawn again each second",
        "rules::a_user_is_shed_or_not_for_as_long_as_the_draw_holds",
        (GATEWAY, "math.floor(now / sticky)", "math.floor(now)"),
    ),
    fault(
        "a retry budget spends half a token",
        "mechanisms::a_retry_is_paid_for_by_two_successes_of_half_a_token_each",
        (RETRY, "tokens < 1.0", "tokens < 0.5"),
    ),
    fault(
        "hopeless refusals are retried as any other",
        "users::a_refusal_for_the_day_is_retried_by_those_who_do_not_believe_it",
        (RETRY, "when_hopeless if reason in HOPELESS else after_refusal", "after_refusal"),
    ),
    fault(
        "pauses do not grow",
        "users::a_refused_ask_is_retried_after_longer_and_longer_pauses",
        (RETRY, "growth ** float(attempt)", "growth"),
    ),
    fault(
        "decorrelated jitter grows too slowly",
        "clients::a_decorrelated_pause_is_between_the_base_and_three_times_the_one_before",
        (RETRY, "(3.0 * pause - base)", "(2.0 * pause - base)"),
    ),
    fault(
        "retry-after is not spread",
        "clients::who_is_refused_comes_back_when_told_to",
        (RETRY, "retries[AFTER] + retries[SPREAD] * u", "retries[AFTER]"),
    ),
    fault(
        "late images drive nobody away",
        "behaviour::an_image_that_came_late_may_be_the_last",
        (CHOICES, "churn_late if late else 0.0", "0.0"),
    ),
    fault(
        "every image is asked for once more",
        "behaviour::a_degraded_image_is_asked_for_again_by_those_for_whom_it_was_no_good",
        (CHOICES, "served and level > 0 and", "served and"),
    ),
    fault(
        "degraded images are shared as any other",
        "word_of_mouth::a_degraded_image_is_shared_by_fewer",
        (CHOICES, "(when_degraded if level > 0 else 1.0)", "1.0"),
    ),
    fault(
        "noise is not of mean 1",
        "chance::noise_does_not_change_the_mean_of_service_times",
        (CHANCE, "entity, k) - 0.5 * shape * shape", "entity, k)"),
    ),
    fault(
        "Weibull has the inverse shape",
        "chance::quantiles_of_a_law_are_those_of_scipy",
        (CHANCE, "** (1.0 / b)", "** b"),
    ),
]

OF_BOTH_ENGINES = [
    fault(
        "a batch that is filled up is charged to the flow of its head",
        "mechanisms::a_flow_that_needs_less_than_its_share_never_pays_for_what_fills_its_batches",
        (POOL, "queue.deficits[request.flow] -=", "queue.deficits[lane.flow] -="),
        (POOL_2, "s.deficits[q, lane.flow] -=", "s.deficits[q, s.lanes[q, place].flow] -="),
    ),
    fault(
        "an attempt is still marked as retried after a late image",
        "mechanisms::an_attempt_refused_in_silence_has_no_retry_after_it_once_a_late_image_has_come",
        (SERVICE, "present.retry = False", "present.retry = True"),
        (SERVICE_2, "other.mark &= ~RETRY", "other.mark |= RETRY"),
    ),
    fault(
        "a power cap saves no watts",
        "mechanisms::a_power_cap_saves_energy_by_the_law_of_its_clock",
        (SERVICE, "float(pool.knobs[POWER])", "1.0"),
        (
            GPUS,
            "batch.power, batch.loading, batch.fate = s.pool_knobs[pool, POWER], loading, RUNS",
            "batch.power, batch.loading, batch.fate = 1.0, loading, RUNS",
        ),
    ),
]

OF_FIGURES = [
    fault(
        "one good bin ends a storm",
        "storms::a_storm_lasts_through_two_healthy_bins_and_begins_after_three",
        (STORMS, "PATCH = 3", "PATCH = 1"),
    ),
    fault(
        "eight of ten are recovered",
        "storms::a_pool_is_down_while_it_serves_less_than_nine_of_ten_first_requests",
        (STORMS, "HEALTHY = 0.9 ", "HEALTHY = 0.8 "),
    ),
    fault(
        "an image is in time however late it is",
        "metrics::in_time_includes_the_slo_itself",
        (INTENTS, '"in_time": served & (latency <= slo)', '"in_time": served & (latency < math.inf)'),
    ),
    fault(
        "any request that waits saturates a pool",
        "saturation::a_pool_below_capacity_is_not_saturated",
        (SATURATION, ">= RANDOM * of.parts", ">= 1"),
    ),
    fault(
        "GPUs that idle cost nothing",
        "costs::energy_by_hand",
        (ENERGY, "joules += sum(", "joules += 0 * sum("),
    ),
    fault(
        "latencies are a rank too low",
        "metrics::a_quantile_is_a_value_of_the_sample",
        (LATENCIES, "math.ceil(q * len(values)) - 1", "math.ceil(q * len(values)) - 2"),
    ),
    fault(
        "retries come on top of twice their number",
        "storms::the_rules_of_experiment_d_are_those_of_theory",
        (RETRY_RULES, "capacity / (1 + retries)", "capacity / (1 + 2 * retries)"),
    ),
]

FAULTS = [*OF_RULES, *OF_BOTH_ENGINES, *OF_FIGURES]
