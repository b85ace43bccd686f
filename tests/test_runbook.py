"""A runbook says what its run did, and the files beside it are what their tools document.

Prometheus, Envoy, KEDA and flagd have no validator here: their files are held against schemas of the documented fields,
written by us, which know no other field. Kubernetes' own schema is used where kubernetes-validate is installed.
"""

import json
import math
import re
from datetime import UTC, datetime
from importlib.util import find_spec

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from sim import load, metrics, simulate
from sim.cli.main import app, messages_for_wrong_input
from sim.export.operations import ALERTS, ENVOY, FLAGS, HPA, KEDA, operations
from sim.report.runbook import runbook, turns

WAITS = {"expected_wait": {"above": "10 s", "below": "2 s"}, "pool": "gpus", "for": "1 min", "reaction": "2 min"}
STEPS = [
    {"policy": {"kind": "hpa", "pool": "gpus", "most": 160, "utilisation": "70 %", "queued": 2.5}},
    {"policy": {"kind": "rate limit", "tiers": ["free"], "rate": "12 per hour", "burst": 3}, "when": WAITS},
    {"policy": {"kind": "feature gate", "tiers": ["free"], "open": "30 %"}, "from": "15 min", "until": "25 min"},
    {"policy": {"kind": "quota", "requests": 3, "window": "1 day"}, "from": "20 min"},
    {"policy": {"kind": "shed", "share": "12.5 %", "final": True}, "from": "30 min"},
    {"policy": {"kind": "limit", "requests": 200}},
    {"policy": {"kind": "envoy gradient", "pool": "gpus", "window": "10 s"}, "from": "35 min"},
    {"policy": {"kind": "admission control"}, "from": "35 min"},
    {"policy": {"kind": "feature gate", "open": 0, "tiers": ["free"]}, "when": {**WAITS, "cool_down": "1 h"}},
]
SHORT = {"horizon": "40 min", "alive.window": "5 min", "control_tick": "15 s", "demand.waves.1.from": "10 min"}


def of(*steps, **sets):
    """The surge with a playbook, its run, and the files of the playbook."""
    scenario = load("surge", sets={**SHORT, **sets, "playbooks": {"chosen": list(steps)}})
    run = simulate(scenario, "chosen")
    return scenario, run, operations(run, scenario, "chosen")


@pytest.fixture(scope="module")
def made():
    return of(*STEPS)


def valid(schema, content):
    problems = [f"{list(e.absolute_path)}: {e.message}" for e in Draft202012Validator(schema).iter_errors(content)]
    assert not problems


def fields(required, optional=(), **known):
    """The schema of an object with these fields and no other."""
    names = [*required.split(), *(optional.split() if optional else ())]
    properties = {name: known.get(name, {}) for name in names}
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def many(items):
    return {"type": "array", "items": items, "minItems": 1}


TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer", "minimum": 0}


# The runbook.


def test_a_runbook_names_every_switch_and_the_files_that_hold_it_or_that_none_does(made):
    scenario, run, files = made
    text = runbook(run, files.has, files.remarks, ["Before noon."])
    for step in scenario.playbooks["chosen"]:
        assert step.policy.kind in text.lower()
    assert "4. quota (requests 3, window 24 h): in no file that acts: it needs code of your own." in text
    assert "3. feature gate (open 30 %): in flags.json." in text
    assert "Before noon." in text
    assert files.has[2] == [ALERTS, ENVOY]


def test_a_runbook_names_the_command_for_what_it_was_made_of_and_sets_remarks_apart():
    settings = ["--override", "study", "--set", "playbooks={p: [{policy: {kind: limit, requests: 90}}]}"]
    given = ["runbook", "surge", *settings, "--playbook", "p", "--rescue-seeds", "0"]
    text = CliRunner().invoke(app, given).stdout.replace("\\", "")
    assert "`meltpoint rescue surge --playbook p --override study --set 'playbooks={p:" in text
    assert re.search(r"- in time: \*\*[0-9.]+ %\*\* \(of all requests\)", text)


def test_the_curve_is_that_of_the_run_before_and_after_each_turn(made):
    _, run, files = made
    rows = [line for line in runbook(run, files.has, files.remarks, []).splitlines() if "its date" in line]
    dated = [turn for turn in turns(run) if turn[2] == "its date"]
    assert [round(at / 60) for at, _, _ in dated] == [15, 20, 25, 30, 35, 35]
    cells = [cell.strip() for cell in rows[0].split("|")[1:-1]]
    for place, window in ((3, (600.0, 900.0)), (4, (900.0, 1200.0))):
        attainment = metrics.outcomes(run, window=window)["attainment"].iloc[0]
        assert float(cells[place].removesuffix(" %")) == pytest.approx(100 * attainment, abs=0.06)
    queue = metrics.pool_timeline(run, "gpus", 300.0)["queued"]
    assert float(cells[5]) == pytest.approx(queue[600.0], rel=0.01)


def test_a_folder_that_holds_something_else_is_refused_and_an_earlier_runbook_replaced(tmp_path):
    def made(*options):
        given = ["runbook", "steady", "--set", "playbooks={p: [{policy: {kind: limit, requests: 9}}]}"]
        given += ["--playbook", "p", "--set", "horizon=20 min", "--rescue-seeds", "0", "--out", str(tmp_path / "r")]
        return CliRunner().invoke(app, [*given, *options])

    assert made().exit_code == 0
    assert {path.name for path in (tmp_path / "r").iterdir()} == {"runbook.md", ALERTS, ENVOY}
    assert "is there already" in str(made().exception)
    assert made("--replace").exit_code == 0
    (tmp_path / "r" / "mine.txt").write_text("precious")
    assert "is there already" in str(made("--replace").exception)


def test_a_playbook_without_switches_has_no_runbook(capsys):
    with pytest.raises(SystemExit) as end, messages_for_wrong_input():
        app(["runbook", "steady", "--playbook", "none"], standalone_mode=False)
    assert end.value.code == 2
    assert "no switches" in capsys.readouterr().err


# Prometheus (prometheus.io/docs/prometheus/latest/configuration/alerting_rules).

TIME = {"type": "string", "pattern": r"^((\d+)(y|w|d|h|m|s|ms))+$"}
RULE = fields("alert expr", "for keep_firing_for labels annotations", alert=TEXT, expr=TEXT, keep_firing_for=TIME) | {}
RULE["properties"]["for"] = TIME
RULE["properties"]["labels"] = RULE["properties"]["annotations"] = {
    "type": "object",
    "additionalProperties": TEXT,
    "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
}
RULES = fields("groups", groups=many(fields("name rules", "interval limit", name=TEXT, rules=many(RULE))))


def test_alert_rules_have_the_bounds_of_the_triggers_and_their_times(made):
    rules = yaml.safe_load(made[2].texts[ALERTS])
    valid(RULES, rules)
    first, second = rules["groups"][0]["rules"]
    wait = 'meltpoint_pool_expected_wait_seconds{pool="gpus"}'
    firing = 'ALERTS{alertname="MeltpointStep2",alertstate="firing"}'
    assert first["expr"] == f"{wait} > 10 or ({wait} >= 2 and on() {firing})"
    assert first["for"] == first["keep_firing_for"] == "60s"
    assert "2 min after this alert fires" in first["annotations"]["description"]
    assert "Not again within 60 min" in second["annotations"]["description"]


def test_alerts_beyond_the_run_have_its_own_peaks_of_the_whole_service():
    _, run, files = of(STEPS[5], scale=0.5)
    attempts, queue = yaml.safe_load(files.texts[ALERTS])["groups"][1]["rules"]
    most = metrics.timeline(run, 60.0)["attempts"].max() / 60 / 0.5
    assert float(attempts["expr"].rpartition("> ")[2]) == pytest.approx(most, rel=0.4)  # bins of 10 s there
    assert float(queue["expr"].rpartition("> ")[2]) == pytest.approx(metrics.peak_queue(run, "gpus")["peak"] / 0.5)


# Envoy 1.34 (api-v3: extensions.filters.http.*).

SHARE = fields("numerator denominator", denominator={"enum": ["HUNDRED", "TEN_THOUSAND", "MILLION"]}, numerator=WHOLE)
RUNTIME = fields("default_value runtime_key", runtime_key=TEXT)
PERCENT, SECONDS = fields("value", value={"type": "number", "maximum": 100}), {"pattern": r"^\d+(\.\d+)?s$"}
BUCKET = fields("max_tokens fill_interval", "tokens_per_fill", max_tokens=WHOLE, fill_interval=SECONDS)
ENTRY = fields("key", "value", key=TEXT, value=TEXT)
MESSAGES = {
    "local_ratelimit.v3.LocalRateLimit": fields(
        "@type stat_prefix",
        "token_bucket filter_enabled filter_enforced rate_limits descriptors",
        token_bucket=BUCKET,
        filter_enabled=fields("default_value runtime_key", default_value=SHARE),
        descriptors=many(fields("entries token_bucket", entries=many(ENTRY), token_bucket=BUCKET)),
        rate_limits=many(fields("actions")),
    ),
    "adaptive_concurrency.v3.AdaptiveConcurrency": fields(
        "@type gradient_controller_config",
        "enabled",
        gradient_controller_config=fields(
            "concurrency_limit_params min_rtt_calc_params",
            "sample_aggregate_percentile",
            sample_aggregate_percentile=PERCENT,
            concurrency_limit_params=fields("concurrency_update_interval", "max_concurrency_limit"),
            min_rtt_calc_params=fields("", "interval request_count jitter min_concurrency buffer fixed_value"),
        ),
        enabled=RUNTIME,
    ),
    "admission_control.v3.AdmissionControl": fields(
        "@type success_criteria",
        "enabled sampling_window aggression sr_threshold rps_threshold max_rejection_probability",
        enabled=RUNTIME,
        aggression=RUNTIME,
        sr_threshold=fields("default_value runtime_key", default_value=PERCENT),
        rps_threshold=RUNTIME,
        max_rejection_probability=fields("default_value runtime_key", default_value=PERCENT),
        sampling_window=SECONDS,
    ),
    "fault.v3.HTTPFault": fields("@type", "abort", abort=fields("http_status percentage", percentage=SHARE)),
}


def test_envoys_filters_have_documented_fields_and_the_figures_of_the_policies(made):
    text = made[2].texts[ENVOY]
    config = yaml.safe_load(text)
    assert set(config) == {"http_filters", "clusters"}
    found = {}
    for one in config["http_filters"]:
        kind = one["typed_config"]["@type"].removeprefix("type.googleapis.com/envoy.extensions.filters.http.")
        valid(MESSAGES[kind], one["typed_config"])
        assert one["name"] == f"envoy.filters.http.{kind.partition('.')[0]}"
        found[kind.partition(".")[0]] = one["typed_config"]
    assert set(found) == {kind.partition(".")[0] for kind in MESSAGES}
    (descriptor,) = found["local_ratelimit"]["descriptors"]
    assert descriptor["entries"] == [{"key": "tier", "value": "free"}, {"key": "user"}]
    assert descriptor["token_bucket"] == {"max_tokens": 3, "tokens_per_fill": 1, "fill_interval": "300s"}
    assert found["fault"]["abort"]["percentage"] == {"numerator": 125_000, "denominator": "MILLION"}
    # The defaults of Envoy's own documentation, which the policies have.
    assert found["admission_control"]["sr_threshold"]["default_value"]["value"] == 95
    least = found["adaptive_concurrency"]["gradient_controller_config"]["min_rtt_calc_params"]
    assert (least["min_concurrency"], least["request_count"], least["buffer"]) == (3, 50, {"value": 25})
    (cluster,) = config["clusters"]
    thresholds = [{"priority": "DEFAULT", "max_requests": 200}]
    assert cluster == {"name": "gpus", "circuit_breakers": {"thresholds": thresholds}}
    assert "&id" not in text


def test_a_rate_that_envoy_cannot_keep_is_said():
    files = of({"policy": {"kind": "rate limit", "rate": "7 per 3 s", "burst": 2}}, horizon="5 min")[2]
    bucket = yaml.safe_load(files.texts[ENVOY])["http_filters"][0]["typed_config"]["descriptors"][0]["token_bucket"]
    assert bucket["fill_interval"] == "1s"
    assert any("one request every 1 s" in remark for remark in files.remarks[1])


# Kubernetes (autoscaling/v2) and KEDA (keda.sh/v1alpha1, ScaledObject).

RATE = fields("type value periodSeconds", type={"enum": ["Pods", "Percent"]}, value={"type": "integer", "minimum": 1})
RATE["properties"]["periodSeconds"] = {"type": "integer", "minimum": 1, "maximum": 1800}
WINDOW = {"type": "integer", "minimum": 0, "maximum": 3600}
DIRECTION = fields(
    "policies",
    "selectPolicy stabilizationWindowSeconds",
    policies=many(RATE),
    selectPolicy={"enum": ["Max", "Min", "Disabled"]},
    stabilizationWindowSeconds=WINDOW,
)
BEHAVIOR = fields("scaleUp scaleDown", scaleUp=DIRECTION, scaleDown=DIRECTION)
REPLICAS = {"type": "integer", "minimum": 1}
AUTOSCALER = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "autoscaling/v2"},
    spec=fields(
        "scaleTargetRef minReplicas maxReplicas metrics", "behavior", minReplicas=REPLICAS, maxReplicas=REPLICAS
    ),
)
AUTOSCALER["properties"]["spec"]["properties"]["behavior"] = BEHAVIOR
TRIGGER = fields(
    "type metadata",
    "metricType",
    metadata=fields(
        "serverAddress query threshold",
        "activationThreshold",
        **dict.fromkeys(["serverAddress", "query", "threshold", "activationThreshold"], TEXT),
    ),
    metricType={"enum": ["AverageValue", "Value"]},
)
SCALED = fields(
    "apiVersion kind metadata spec",
    apiVersion={"const": "keda.sh/v1alpha1"},
    spec=fields(
        "scaleTargetRef triggers",
        "pollingInterval cooldownPeriod minReplicaCount maxReplicaCount advanced",
        triggers=many(TRIGGER),
        pollingInterval=WHOLE,
        cooldownPeriod=WHOLE,
        advanced=fields("horizontalPodAutoscalerConfig", horizontalPodAutoscalerConfig=fields("behavior")),
    ),
)


def test_an_autoscaler_has_kubernetes_own_defaults_and_the_targets_of_the_policy(made):
    manifest = yaml.safe_load(made[2].texts[HPA])
    valid(AUTOSCALER, manifest)
    up, down = (manifest["spec"]["behavior"][name] for name in ("scaleUp", "scaleDown"))
    # kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale, "Default Behavior"
    assert up["policies"] == [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 4, "periodSeconds": 15},
    ]
    assert (up["stabilizationWindowSeconds"], down["stabilizationWindowSeconds"]) == (0, 300)
    use, queue = manifest["spec"]["metrics"]
    assert use["pods"]["target"] == {"type": "AverageValue", "averageValue": "70"}
    assert queue["external"]["target"] == {"type": "AverageValue", "averageValue": "2500m"}


@pytest.mark.skipif(find_spec("kubernetes_validate") is None, reason="kubernetes-validate (108 MB) is not installed")
def test_kubernetes_own_schema_accepts_the_autoscaler(made):
    import kubernetes_validate

    kubernetes_validate.validate(yaml.safe_load(made[2].texts[HPA]), "1.30", strict=True)


def test_a_fleet_that_may_be_empty_is_kedas():
    policy = {"kind": "hpa", "pool": "gpus", "most": 160, "least": 0, "inside": 4, "cool_down": "5 min", "sync": "30 s"}
    files = of({"policy": policy}, horizon="5 min")[2]
    manifest = yaml.safe_load(files.texts[KEDA])
    valid(SCALED, manifest)
    assert HPA not in files.texts
    spec = manifest["spec"]
    assert (spec["minReplicaCount"], spec["cooldownPeriod"], spec["pollingInterval"]) == (0, 300, 30)
    assert spec["triggers"][0]["metadata"]["query"] == 'meltpoint_pool_requests_inside{pool="gpus"}'


# flagd (flagd.dev/schema/v0/flags.json).

ANY: dict = {"anyOf": [{"$ref": "#/$defs/rule"}, {"type": ["string", "number", "boolean"]}]}
WEIGHT = {"type": "array", "prefixItems": [TEXT, WHOLE], "items": False, "minItems": 2}


def arguments(least, most, items=ANY):
    return {"type": "array", "minItems": least, "maxItems": most, "items": items}


OPERATORS = {
    "var": TEXT,
    "$ref": TEXT,
    "if": arguments(3, 3),
    "and": arguments(1, 9),
    "or": arguments(1, 9),
    **dict.fromkeys(["==", "<", ">="], arguments(2, 2)),
    "fractional": {"type": "array", "minItems": 3, "prefixItems": [fields("var")], "items": WEIGHT},
}
RULES_OF_FLAGS = {
    "type": "object",
    "properties": OPERATORS,
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
FLAG = fields(
    "state variants defaultVariant",
    "targeting metadata",
    state={"enum": ["ENABLED", "DISABLED"]},
    variants={"type": "object", "minProperties": 1},
    defaultVariant=TEXT,
    targeting={"$ref": "#/$defs/rule"},
)
ALL_FLAGS = fields("flags", "$schema $evaluators metadata", flags={"type": "object", "additionalProperties": FLAG})
ALL_FLAGS |= {"$defs": {"rule": RULES_OF_FLAGS}}


def evaluated(rule, context, shared):
    """JSON logic, as far as flags use it; a fractional rule is its share that is on."""
    if not isinstance(rule, dict):
        return rule
    ((name, given),) = rule.items()
    if name in ("var", "$ref", "fractional"):
        return {
            "var": lambda: context.get(given),
            "$ref": lambda: evaluated(shared[given], context, shared),
            "fractional": lambda: given[1][1] / (given[1][1] + given[2][1]),
        }[name]()
    if name == "if":
        condition, then, otherwise = given  # flagd's schema allows no more
        return evaluated(then if evaluated(condition, context, shared) else otherwise, context, shared)
    values = [evaluated(one, context, shared) for one in given]
    return {
        "and": lambda: all(values),
        "or": lambda: any(values),
        "==": lambda: values[0] == values[1],
        "<": lambda: values[0] < values[1],
        ">=": lambda: values[0] >= values[1],
    }[name]()


def test_a_flag_decides_as_the_gates_of_the_playbook_at_every_instant(made):
    flags = json.loads(made[2].texts[FLAGS])
    valid(ALL_FLAGS, flags)
    start, shared = datetime(2025, 3, 31, tzinfo=UTC).timestamp(), flags["$evaluators"]

    def image(minute, tier):
        context = {"tier": tier, "$flagd.timestamp": start + 60 * minute}
        return evaluated(flags["flags"]["image"]["targeting"], context, shared)

    assert [image(minute, "free") for minute in (14, 15, 24, 25)] == ["on", 0.3, 0.3, "on"]
    assert {image(minute, "plus") for minute in (14, 15, 24, 25)} == {"on"}
    shared["switch-9"] = {"==": [1, 1]}  # thrown: the later step decides
    assert [image(minute, tier) for minute, tier in ((20, "free"), (20, "plus"))] == ["off", "on"]


def test_a_gate_by_age_and_a_level_are_flags_too():
    steps = [
        {"policy": {"kind": "feature gate", "min_age": "30 days"}},
        {"policy": {"kind": "degrade", "level": 1}, "from": "1 min"},
    ]
    flags = json.loads(of(*steps, horizon="5 min")[2].texts[FLAGS])
    valid(ALL_FLAGS, flags)
    rule, level = (flags["flags"][name] for name in ("image", "image level"))
    assert [evaluated(rule["targeting"], {"account_age_s": age}, {}) for age in (0, 30 * 86400)] == ["off", "on"]
    assert level["variants"] == {"0": 0, "1": 1}
    assert evaluated(level["targeting"], {"$flagd.timestamp": math.inf}, {}) == "1"
