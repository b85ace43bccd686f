"""Figures of the studies that are known to miss, each with its reason; any other miss fails a study."""

FEW_SEEDS = "the longest moment of a queue of 15 to 37 requests, five seeds: one or two requests are 5 per cent"
BY_CHANCE = "three of five live runs come to saturation at all, so its time is a mean of three"
MIXTURE = "recorded loads have two humps; one lognormal has their mean and p95 and misses the middle"
WANTS_MORE = "people who do not try again may want their next image within that minute"
PACE = "nights and weekends are emptier than the fit's, and people differ in pace"
STEADY = "the setting is fitted to a steady rate, which the record does not have; a miss by a hair"
OTHER_SERVICE = "the defaults' return and number of requests are those of other services, not of this studio"

LIVE = {
    ("1.5 times capacity, shed", "time to saturation"): BY_CHANCE,
    ("1.5 times capacity, shed", "peak queue"): FEW_SEEDS,
    ("1.5 times capacity, rate limit", "peak queue"): FEW_SEEDS,
    ("1.5 times capacity, quota", "peak queue"): FEW_SEEDS,
}

TRACES = {
    ("the fleet's jobs, burstiness 0.05", "a minute: Fano factor, trend taken out"): STEADY,
    ("loading a base model", "load p50"): MIXTURE,
    ("a cold start with a LoRA", "sojourn p95"): "141 cold starts have a LoRA's load drawn apart from the model's",
    ("fitted people (creative-studio)", "session: length, p50 (s)"): PACE,
    ("fitted people (creative-studio)", "a minute: Fano factor"): PACE,
    ("fitted people (creative-studio)", "between requests: CV"): PACE,
    ("fitted people (creative-studio)", "again within a minute of a failure"): WANTS_MORE,
    ("default people", "first day: share with 1"): OTHER_SERVICE,
    ("default people", "first day: share above 3"): OTHER_SERVICE,
    ("default people", "first day: cap 10 leaves"): OTHER_SERVICE,
    ("default people", "first day: cap 20 leaves"): OTHER_SERVICE,
    ("default people", "back on day 1"): OTHER_SERVICE,
    ("default people", "again within a minute of a failure"): WANTS_MORE,
    ("default people", "again within a minute of an image"): OTHER_SERVICE,
}

CALIBRATE = {
    ("95 % intervals that hold the truth", "serving.noise.cv"): "the starts of requests left in service are a guess",
    ("95 % intervals that hold the truth", "behaviour.retry.probability"): "a tenth too narrow: 185 of 200 hold it",
}
