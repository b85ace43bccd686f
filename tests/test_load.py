"""Whatever is wrong with a scenario file ends in one message that says what and where."""

import math
import time

import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.scenario.load import LARGEST_FILE, load
from sim.scenario.scenario import Scenario
from tests.random_scenarios import PLAIN, PROFILES
from tests.rich_scenario import RICH, changed, read, refused

# What is wrong: each ends in one message that names the file, the key, the value, and what was expected.


@pytest.mark.parametrize(
    ("old", "new", "key", "value", "expected"),
    [
        ("title: A rich one", "titel: A rich one", "titel", "A rich one", "title"),
        ("title: A rich one", "title: ''", "title", "", "1"),
        ("horizon: 10 min", "horizon: 10", "horizon", 10, "duration with its unit"),
        ("horizon: 10 min", "horizon: 10 parsecs", "horizon", "10 parsecs", "min"),
        ("horizon: 10 min", "horizon: -1 min", "horizon", "-1 min", "not a negative"),
        ("horizon: 10 min", "horizon: never", "horizon", "never", "315,360,000 at most (seconds)"),
        ("horizon: 10 min", "horizon: .nan", "horizon", math.nan, "finite"),
        ("horizon: 10 min", "horizon: .inf", "horizon", math.inf, "finite"),
        ("horizon: 10 min", "horizon: 1e400 s", "horizon", "1e400 s", "finite"),
        ("rate: 5 per min", "rate: -5 per min", "demand.0.rate", "-5 per min", "not a negative"),
        ("rate: 5 per min", "rate: 5", "demand.0.rate", 5, "a rate"),
        ("people: 20", "people: 1e400", "demand.1.people", "1e400", "finite"),
        ("people: 20", "people: many", "demand.1.people", "many", "a count"),
        ("people: 20, lasting: 1 min", "people: 20, lasting: never", "demand.1.lasting", "never", "finite"),
        ("kind: spike", "kind: spiky", "demand.1.kind", "spiky", "'spike'"),
        ("kind: shed", "kind: shet", "playbooks.all.6.policy.kind", "shet", "'shed'"),
        ("gpus: 2,", "gpus: 2.5,", "pools.gpus.gpus", 2.5, "whole"),
        ("gpus: 2,", "gpus: 0,", "pools.gpus.gpus", 0, "1 or more"),
        ("gpus: 2,", "gpus: true,", "pools.gpus.gpus", True, "a count"),
        ("gpus: 2, max_batch", "gpus: 2, max_bach", "pools.gpus.max_bach", 4, "max_batch"),
        ("share: 0.6", "share: 1.6", "features.image.share", 1.6, "from 0 to 1"),
        ("share: 0.6", "share: 0.5", "features", None, "add up to 0.9"),
        ("share: 25 %", "share: 35 %", "tiers", None, "add up to 1.1"),
        ("pool: gpus\n", "pool: cpus\n", "features.image.pool", None, "gpus, spare"),
        ("spec: {model: slow}", "spec: {model: slowest}", "features.image.spec.model", "slowest", "sd35-large"),
        ("spec: {model: slow}", "spec: {model: slow, side: 512}", "features.image.spec", None, "side 1024"),
        ("max_batch: 4", "max_batch: 5", "features.image.spec", None, "batch 1 to 4"),
        ("images: 2", "images: 3", "features.edit", None, "max_batch"),
        ("tiers: [free], requests: 3", "tiers: [gold], requests: 3", "playbooks.all.2.policy.tiers", None, "'gold'"),
        ("features: [edit]", "features: [chat]", "playbooks.all.0.policy.features", None, "'chat'"),
        ("pool: gpus, above", "pool: cpus, above", "playbooks.all.8.policy.pool", None, "'cpus'"),
        ("first: [plus]", "first: [gold]", "playbooks.all.9.policy.first", None, "'gold'"),
        ("above: 20 s", "above: 5 s", "playbooks.all.8.policy", None, "less than"),
        ("from: 1 min\n", "from: 2025-03-25 17:06\n", "playbooks.all.0.until", None, "after 'from'"),
        ("from: 1 min\n", "from: 5 min\n", "playbooks.all.0.until", None, "after 'from'"),
        ("from: 1 min\n", "from: 31 March\n", "playbooks.all.0.from", "31 March", "a date and time"),
        ("notices_leaving: true", "notices_leaving: perhaps", "serving.notices_leaving", "perhaps", "true or false"),
        ("none: []", "none: 5", "playbooks.none", 5, "list"),
        ("runs: sliding", "runs: backwards", "playbooks.all.2.policy.runs", "backwards", "'calendar'"),
        ("requests: 3, window", "requests: 30, window", "playbooks.all.2.policy", None, "sliding"),
        ("growth: 2", "growth: 0.5", "behaviour.retry.growth", 0.5, "1 or more"),
        ("scale: 3 min, shape", "shape", "demand.2.scale", None, "this key"),
        ("start: 2025-03-25 17:00", "start: 5 days", "start", "5 days", "date and time"),
    ],
)
def test_the_message_names_file_key_value_and_what_was_expected(write, old, new, key, value, expected):
    path = write(changed(old, new))
    wrong = refused(path)
    assert str(wrong.file) == str(path)
    where, _, line = wrong.key.removesuffix(")").partition(" (line ")
    assert where == key
    if line and wrong.message != "a key is missing":  # that has the line of what it is missing in
        assert f"{key.rpartition('.')[2]}:" in path.read_text().splitlines()[int(line) - 1]
    if value is not None:
        assert repr(wrong.value) == repr(value)
    assert expected in f"{wrong.message} {wrong.expected}"
    for part in (wrong.message, str(path), wrong.key, wrong.expected):
        assert part in str(wrong)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("slo: 60 s\n    spec", "slo: never\n    spec"),
        ("horizon: 10 min", "horizon: 10 min\ncontrol_tick: never"),
        ("horizon: 10 min", "horizon: 10 min\nalive: {window: never}"),
        ("rate: 5 per min", "rate: unlimited"),
        ("low: 5 s, high: 9 s", "low: never, high: never"),
        ("low: 5 s, high: 9 s", "low: 9 s, high: 5 s"),
        ("kind: negative binomial, mean: 2, r: 0.5", "kind: fixed, requests: 1bn"),
        ("model: slow}", "model: slow, side: 0}\nextrapolate: true"),
        ("gpus: 2,", "gpus: 1e300,"),
        ("max_batch: 4", "max_batch: 1e12"),
        ("growth: 2", "growth: 1e300"),
        ("horizon: 10 min", "horizon: 1e300 s"),
    ],
)
def test_a_figure_that_no_run_could_use_is_refused(write, old, new):
    refused(write(changed(old, new)))


def test_more_people_than_a_run_can_hold_are_refused_before_it_begins(write):
    with pytest.raises(BadInput, match="more than a run can hold"):
        simulate(read(write(changed("people: 20", "people: 1e300"))))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not a scenario"),
        ("# nothing\n", "not a scenario"),
        ("- a\n- b\n", "not a scenario"),
        ("just words", "not a scenario"),
        ("5", "not a scenario"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"title: caf\xe9\n", "not UTF-8"),
        ("title: [unclosed\n", "not plain YAML"),
        ("title: a: b\n", "not plain YAML"),
        ("title: \x07\n", "not plain YAML"),
        ("title: a\ntitle: b\n", "duplicate key 'title'"),
        (RICH.replace("gpus: 2,", "gpus: 2, gpus: 3,"), "duplicate key 'gpus'"),
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("a: &a [lol]\nb: &b [*a, *a]\n", "aliases"),
        ("title: !!python/object/apply:os.system ['true']\n", "not plain YAML"),
        ("title: !!python/name:os.system\n", "not plain YAML"),
        ("title: !mine x\n", "not plain YAML"),
        ("[a, b]: c\n", "not plain YAML"),
        ("{a: b}: c\n", "not plain YAML"),
        ("---\na: 1\n---\nb: 2\n", "not plain YAML"),
        ("[" * 20_000, "not plain YAML"),
        ("start: 2025-13-45\n", "not plain YAML"),
        ("a: " + "1" * 5000, "not plain YAML"),
        ("x" * (LARGEST_FILE + 1), "too large"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_what_is_not_a_scenario_file_is_refused(write, content, says):
    path = write(content)
    wrong = refused(path)
    assert says in str(wrong)
    assert str(path) in str(wrong)


@pytest.mark.parametrize(
    ("old", "new", "known", "unknown"),
    [
        ("title: A rich one", "titel: A rich one", ["title"], ["pools"]),
        ("title: A rich one", "title: A rich one\ncolour: red", ["horizon", "base"], ["max_batch"]),
        ("gpus: 2, max", "gpu: 2, max", ["gpus"], ["pools"]),
        ("spec: {model: slow}", "spec: {model: slow, stps: 3}", ["steps"], ["step"]),
        ("rate: 5 per min, lasting", "rate: 5 per min, people", ["lasting", "account_age"], ["scale"]),
        ("kind: weibull, scale: 60 s, shape", "kind: weibull, scale: 60 s, sigma: 1, shape", ["shape"], ["median"]),
        ("rate: 2 per min, burst: 2", "rate: 2 per min, brst: 2", ["burst"], ["rate"]),
        ("kind: shed, share: 0.1", "kind: shed, share: 0.1, runs: 3", ["share", "tiers"], ["window"]),
        ("from: 1 min\n", "form: 1 min\n", ["from"], ["policy"]),
        ("cv: 0.1", "vc: 0.1", ["cv"], ["mean"]),
    ],
)
def test_for_an_unknown_key_those_that_could_stand_there_are_suggested(write, old, new, known, unknown):
    wrong = refused(write(changed(old, new)))
    assert wrong.message == "unknown key"
    words = wrong.expected.replace(",", " ").split()
    assert set(known) <= set(words)
    assert not set(unknown) & set(words)


@pytest.mark.parametrize(
    "text",
    [r'"\0"', r'"\e[31m"', r'"\ud800"', r'"\u202e"', r'"\x7f"'],
    ids=["nul", "escape", "surrogate", "rtl", "del"],
)
@pytest.mark.parametrize(
    ("old", "new"), [("title: A rich one", "title: {}"), ("  free: {", "  {}: {"), ("title: A rich one", "{}: x")]
)
def test_text_that_no_terminal_or_file_should_get_is_refused_and_not_repeated(write, old, new, text):
    wrong = refused(write(changed(old, new.replace("{}", text, 1))))
    assert str(wrong).replace("\n", "").isprintable()


@pytest.mark.parametrize("number", ["0x" + "f" * 6000, "1" + ":59" * 3000, "1e308", "1.8e+308"], ids=lambda n: n[:6])
def test_a_number_with_thousands_of_digits_is_refused(write, number):
    refused(write(changed("people: 20", f"people: {number}").replace("scale: 3 min, shape: 1.4", f"scale: {number} s")))


@pytest.mark.parametrize(
    "tag", ['!!int ""', '!!float ""', "!!bool x", "!!timestamp x", "!!set {a}", "!!binary x", "!!null x"]
)
def test_a_tag_is_refused(write, tag):
    assert "tag" in str(refused(write(changed("title: A rich one", f"title: {tag}"))))


@pytest.mark.parametrize("people", ["1bn", "1e12", "1e300"])
def test_a_crowd_that_memory_cannot_hold_is_refused_at_once(write, people):
    began = time.process_time()
    with pytest.raises(BadInput, match="more than a run can hold"):
        simulate(read(write(changed("people: 20", f"people: {people}"))))
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "sets",
    [
        {"control_tick": "1e-9 s"},
        {"pools.gpus.gpus": "1bn"},
        {"alive": {"window": "1e-9 s"}},
        {"horizon": "1000 years"},
        {"start": "9999-12-31"},
        {"demand.0": {"kind": "steady", "rate": "1bn per s"}},
    ],
    ids=str,
)
def test_more_than_a_run_can_hold_is_refused(write, sets):
    refused(write(RICH), sets=sets)


def test_yaml_is_told_with_its_line(write):
    path = write("title: x\nquestion: y\ntitle: z\n")
    assert f"{path}:3" in str(refused(path))


def test_a_folder_a_missing_file_and_an_unknown_name_are_refused(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    for name in (tmp_path / "folder.yaml", tmp_path / "none.yaml", tmp_path, "no-such-scenario"):
        assert "steady" in refused(name).expected


@pytest.mark.parametrize("name", ["", ".", "..", "/", "~nobody-of-this-name/x", "x" * 5000, "a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(name):
    refused(name)


@pytest.mark.parametrize(
    "base", ["nowhere", "nowhere.yaml", 5, "''", "[a]", "~nobody-of-this-name/x", "x" * 5000, r'"a\0b"']
)
def test_a_base_that_is_not_there_is_refused(write, base):
    assert "no such scenario" in str(refused(write(f"base: {base}\n")))


@pytest.mark.parametrize("way", ["s.yaml", "./s.yaml", "sub/../s.yaml"])
def test_a_scenario_is_not_its_own_base(write, way):
    write("title: x", "sub/x.yaml")
    assert "its own base" in str(refused(write(f"base: {way}\n")))


def test_bases_do_not_run_in_circles(write):
    for name, base in (("a", "b"), ("b", "c"), ("c", "a")):
        path = write(f"base: {base}.yaml\n", f"{name}.yaml")
    assert "its own base" in str(refused(path))


def test_an_unknown_override_is_refused_with_those_there_are(write):
    assert "more-gpus" in refused(write(RICH), override="fewer-gpus").expected
    assert "none" in refused(write("title: x\n"), override="fewer-gpus").expected


@pytest.mark.parametrize("overrides", ["5", "[a]", "{a: 5}", "{a: [1]}", "a", "{a: null}", "{a: {horizon: .nan}}"])
def test_overrides_that_are_no_diffs_are_refused(write, overrides):
    refused(write(f"title: x\noverrides: {overrides}\n"), override="a")


@pytest.mark.parametrize(
    ("sets", "key"),
    [
        ({"pools.gpus.gpu": 3}, "pools.gpus.gpu"),
        ({"title.x": 3}, "title.x"),
        ({"demand.9.people": 3}, "demand.9.people"),
        ({"demand.x.people": 3}, "demand.x.people"),
        ({"horizon": 10}, "horizon"),
        ({"horizon": math.nan}, "horizon"),
        ({"horizon": None}, "horizon"),
        ({"": 3}, ""),
        ({"a.b.c": 3}, "a"),
        ({".": 3}, ""),
        ({"x." * 5000: 3}, ""),
        ({"demand.²": 3}, "demand"),
        ({"demand.0": "x"}, "demand"),
        ({"overrides.small.scale": 1}, "overrides"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_setting_that_does_not_fit_is_refused(write, sets, key):
    assert refused(write(RICH), sets=sets).key.startswith(key)


def test_the_same_checks_hold_for_a_scenario_made_in_python():
    with pytest.raises(BadInput, match="horizon"):
        Scenario.from_dict({**PLAIN, "horizon": 10}, profiles=PROFILES)


def test_one_key_of_a_distribution_leaves_the_rest_at_its_default(write):
    """`decide --what-changes` names such keys, whether or not the scenario states the distribution."""
    plainest = "viral-image-launch"
    scenario = load(plainest, sets={"behaviour.patience.median": "100 s"})
    assert scenario.behaviour.patience.model_dump() == {"kind": "lognormal", "median": 100, "sigma": 2.1}
    assert load(plainest).with_(**{"behaviour.retry.backoff.high": "90 s"}).behaviour.retry.backoff.high == 90
    with pytest.raises(BadInput, match=r"behaviour\.patience\.mean"):
        load(plainest, sets={"behaviour.patience.mean": "100 s"})


def test_a_fault_after_a_preset_of_several_waves_is_one_message(write):
    waves = "demand: [{kind: preset, name: chatgpt-images-2025}, {kind: spike, people: many, lasting: 1 s}]\n"
    with pytest.raises(BadInput):
        load(write("base: steady\n" + waves))
