"""Latency profiles: what is shipped is sound, interpolation stays inside what was measured, bad files are refused."""

import copy
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import shipped
from sim.errors import BadInput
from sim.model.request import Spec
from sim.profile.file import FORMAT, laid_out
from sim.profile.profile import Profile, constant_profile, load_profile, profile_from
from tests.random_scenarios import JUNK, places

SHIPPED = shipped.names("profiles", ".json")


def point(batch: int, seconds: float, **more) -> dict:
    return {"side": 1024, "steps": 28, "batch": batch, "latency_s": {"p50": seconds}} | more


GOOD = {
    "format": FORMAT,
    "name": "test",
    "model": "a model",
    "feature": "image",
    "provenance": "assumed",
    "source": "made up",
    "method": "none",
    "date": "2026-01-01",
    "precision": "bf16",
    "hardware": {"gpu": "none", "idle_power_w": 90},
    "points": [point(1, 2.0, power_w=300), point(2, 3.0, power_w=400), point(4, 6.0, power_w=600)],
}


def grid(*, extrapolate: bool = False) -> Profile:
    """Measured at sides 512 and 1024, steps 20 and 40, batches 1 to 4: microseconds of work as pixels x steps x n."""
    points = [
        {"side": side, "steps": steps, "batch": n, "samples_us": [side * side * steps * n]}
        for side in (512, 1024)
        for steps in (20, 40)
        for n in (1, 2, 4)
    ]
    return profile_from({**GOOD, "points": points}, extrapolate=extrapolate)


# What is shipped.


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_says_where_it_is_from(name):
    profile = load_profile(shipped.find("profiles", name, ".json"))
    assert profile.name == name
    assert profile.file.source
    assert profile.file.method
    assert len(profile.sha256) == 64


def specs(profile: Profile) -> set[Spec]:
    """The specs that were measured; of a profile by components at 20 steps."""
    points = [p for p in profile.file.points if p.component in ("pipeline", "denoise", "decode")]
    whole = points[0].component == "pipeline"
    return {Spec(profile.name, p.side, p.steps if whole else 20, p.frames) for p in points}


@pytest.mark.parametrize("name", SHIPPED)
def test_in_a_shipped_profile_a_larger_batch_takes_longer_but_less_an_image(name):
    profile = load_profile(shipped.find("profiles", name, ".json"))
    for spec in specs(profile):
        sizes = [n for n in range(1, 129) if profile.inside(spec, n)]
        seconds = [profile.batch_seconds(spec, n) for n in sizes]
        assert sizes[0] == 1
        assert seconds == sorted(seconds)
        assert seconds[-1] / sizes[-1] <= seconds[0] * 1.001
        assert all(math.isnan(watts) or 0 < watts < 1500 for watts in (profile.power(spec, n) for n in sizes))


@pytest.mark.parametrize(
    ("name", "spec", "seconds", "joules"),
    [
        ("sd35-large-h100", Spec("m", 1024, 28), 6.56, 4420),
        ("sd35-medium-h100", Spec("m", 1024, 28), 3.53, 1581),
        ("sana-1.6b-h100", Spec("m", 1024, 20), 0.79, 417),
        ("wan-1.3b-h100", Spec("m", 480, 50, 81), 95, 65_000),
    ],
)
def test_a_published_profile_gives_the_published_figures(name, spec, seconds, joules):
    """One image or clip on one H100, ML.ENERGY leaderboard v3, to the digits of its table."""
    profile = load_profile(shipped.find("profiles", name, ".json"))
    assert profile.batch_seconds(spec, 1) == pytest.approx(seconds, rel=0.01)
    assert profile.power(spec, 1) * profile.batch_seconds(spec, 1) == pytest.approx(joules, rel=0.01)


# Interpolation.


def test_measured_points_come_out_as_measured():
    profile = profile_from(GOOD)
    assert [profile.batch_seconds(Spec("test"), n) for n in (1, 2, 4)] == [2, 3, 6]
    assert [profile.power(Spec("test"), n) for n in (1, 2, 4)] == [300, 400, 600]
    assert profile.idle_power == 90


def test_between_batch_sizes_it_interpolates():
    profile = profile_from(GOOD)
    assert profile.batch_seconds(Spec("test"), 3) == 4.5
    assert profile.power(Spec("test"), 3) == 500
    assert profile.inside(Spec("test"), 3)


@given(side=st.integers(512, 1024), steps=st.integers(20, 40), size=st.integers(1, 4))
def test_work_that_is_a_product_is_interpolated_exactly(side, steps, size):
    assert grid().inside(Spec("test", side, steps), size)
    assert grid().batch_seconds(Spec("test", side, steps), size) == pytest.approx(side**2 * steps * size * 1e-6)


@given(side=st.integers(256, 2048), steps=st.integers(1, 80), frames=st.integers(1, 2), size=st.integers(1, 8))
@settings(max_examples=200)
def test_outside_it_raises_unless_asked_to_extrapolate_and_says_so(side, steps, frames, size):
    spec = Spec("test", side, steps, frames)
    inside = 512 <= side <= 1024 and 20 <= steps <= 40 and frames == 1 and size <= 4
    assert grid().inside(spec, size) == grid(extrapolate=True).inside(spec, size) == inside
    assert grid(extrapolate=True).batch_seconds(spec, size) == pytest.approx(side**2 * steps * frames * size * 1e-6)
    if not inside:
        with pytest.raises(BadInput, match="not measured there"):
            grid().batch_seconds(spec, size)


def test_a_grid_with_a_hole_is_not_interpolated_across_it():
    points = [
        {"side": side, "steps": steps, "batch": 1, "samples_us": [1000]} for side, steps in ((512, 20), (1024, 40))
    ]
    profile = profile_from({**GOOD, "points": points})
    assert profile.inside(Spec("test", 512, 20), 1)
    assert not profile.inside(Spec("test", 768, 30), 1)
    assert not profile.inside(Spec("test", 512, 40), 1)


def test_noise_in_the_measurement_does_not_make_more_work_faster():
    profile = profile_from({**GOOD, "points": [point(1, 2.0), point(2, 1.9), point(4, 3.0)]})
    assert [profile.batch_seconds(Spec("test"), n) for n in (1, 2, 4)] == [2, 2, 3]


def test_an_empty_batch_takes_no_time_that_anyone_measured():
    with pytest.raises(BadInput, match="at least one"):
        profile_from(GOOD).batch_seconds(Spec("test"), 0)


def test_a_profile_without_power_says_nan():
    assert math.isnan(constant_profile("c", 2.0).power(Spec("c"), 1))
    assert math.isnan(constant_profile("c", 2.0).idle_power)


def test_raw_samples_give_median_and_spread():
    samples = {"side": 1024, "steps": 28, "batch": 1, "samples_us": [1_000_000, 2_000_000, 4_000_000]}
    only = profile_from({**GOOD, "points": [samples]}).file.points[0]
    assert only.median == 2
    assert only.spread == pytest.approx(math.log(2))
    assert math.isnan(profile_from(GOOD).file.points[0].spread)


def component(name: str, batch: int, seconds: float, **more) -> dict:
    return {"component": name, "side": 1024, "batch": batch, "latency_s": {"p50": seconds}} | more


COMPONENTS = [
    *[component("text", n, 0.1 * n, side=512) for n in (1, 4)],
    *[component("denoise", n, 0.05 * n * (side / 1024) ** 2, side=side) for n in (1, 4) for side in (512, 768, 1024)],
    *[component("vae_decode", n, 0.2 * n * (side / 1024) ** 2, side=side) for n in (1, 4) for side in (512, 768, 1024)],
]


@given(side=st.integers(512, 1024), steps=st.integers(1, 100), size=st.integers(1, 4))
def test_components_add_up_at_any_number_of_steps(side, steps, size):
    profile = profile_from({**GOOD, "points": COMPONENTS, "overhead_s": 0.03})
    area = (side / 1024) ** 2
    seconds = 0.03 + size * (0.1 + area * (0.05 * steps + 0.2))
    assert profile.inside(Spec("test", side, steps), size)
    assert profile.batch_seconds(Spec("test", side, steps), size) == pytest.approx(seconds, rel=1e-6)


def test_an_edit_runs_its_share_of_the_steps():
    profile = profile_from({**GOOD, "points": COMPONENTS, "strength": 0.8})
    assert profile.batch_seconds(Spec("test", 1024, 28), 1) == pytest.approx(0.1 + 0.05 * 23 + 0.2)


@pytest.mark.parametrize(("side", "frames", "size"), [(2048, 1, 1), (256, 1, 1), (1024, 1, 5), (1024, 17, 1)])
def test_components_are_not_known_outside_what_was_measured_either(side, frames, size):
    spec = Spec("test", side, 28, frames)
    careful, bold = (profile_from({**GOOD, "points": COMPONENTS}, extrapolate=bold) for bold in (False, True))
    assert not bold.inside(spec, size)
    area = (side / 1024) ** 2 * frames
    assert bold.batch_seconds(spec, size) == pytest.approx(size * (0.1 + area * (0.05 * 28 + 0.2)), rel=1e-6)
    with pytest.raises(BadInput, match="not measured there"):
        careful.batch_seconds(spec, size)


def test_a_constant_profile_is_what_it_says():
    profile = constant_profile("c", 3.0, largest_batch=4, per_image=0.5)
    assert [profile.batch_seconds(Spec("c"), n) for n in (1, 4)] == [3.5, 5.0]


def test_the_hash_is_of_the_content_not_of_its_order():
    assert profile_from(GOOD).sha256 == profile_from(dict(reversed(GOOD.items()))).sha256
    assert profile_from(GOOD).sha256 != profile_from({**GOOD, "name": "other"}).sha256


def test_a_profile_that_was_edited_after_it_was_measured_is_refused(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(laid_out(GOOD), encoding="utf-8")
    assert load_profile(path).sha256 == profile_from(GOOD).sha256
    path.write_text(laid_out(GOOD).replace("2.0", "1.0"), encoding="utf-8")
    with pytest.raises(BadInput, match="edited"):
        load_profile(path)


# Bad files.


def written(tmp_path, content) -> BadInput:
    path = tmp_path / "p.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput) as refused:
        load_profile(path)
    assert str(path) in str(refused.value)
    return refused.value


@pytest.mark.parametrize(
    "content",
    [
        "",
        json.dumps(GOOD)[:-20],
        "[]",
        "null",
        "3",
        b"\xff\xfe{}",
        '{"format": NaN}',
        json.dumps(GOOD).replace("2.0", "NaN"),
        json.dumps(GOOD).replace("2.0", "Infinity"),
        json.dumps(GOOD).replace("2.0", "1e999"),
        json.dumps(GOOD).replace("2.0", "1" * 5000),
        "[" * 100_000,
        '{"format": "meltpoint-profile/1", "name": ' * 5000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_what_is_not_a_profile_is_bad_input(tmp_path, content):
    written(tmp_path, content)


def test_a_missing_file_or_a_folder_is_bad_input(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(BadInput) as refused:
            load_profile(path)
        assert refused.value.file == path


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"format": "meltpoint-profile/2"}, "format"),
        ({"format": None}, "format"),
        ({"points": []}, "points"),
        ({"points": None}, "points"),
        ({"points": [point(1, -2.0)]}, "points.0.latency_s.p50"),
        ({"points": [point(1, 0)]}, "points.0.latency_s.p50"),
        ({"points": [point(0, 2.0)]}, "points.0.batch"),
        ({"points": [point(1, 2.0, side=0)]}, "points.0.side"),
        ({"points": [point(1, 2.0, samples_us=[5])]}, "points.0"),
        ({"points": [{"side": 1024, "steps": 28, "batch": 1}]}, "points.0"),
        ({"points": [{"side": 1024, "steps": 28, "batch": 1, "samples_us": []}]}, "points.0.samples_us"),
        ({"points": [{"side": 1024, "steps": 28, "batch": 1, "samples_us": [0]}]}, "points.0.samples_us.0"),
        ({"points": [point(1, 2.0, power_w=-1)]}, "points.0.power_w"),
        ({"points": [point(1, 2.0), point(1, 3.0)]}, "points"),
        ({"points": [point(1, 2.0), component("text", 1, 3.0)]}, "points"),
        ({"points": [{"side": 1024, "batch": 1, "status": "oom"}]}, "points"),
        ({"provenance": "guessed"}, "provenance"),
        ({"source": ""}, "source"),
        ({"hardware": {}}, "hardware.gpu"),
        ({"hardware": {"gpu": "x", "idle_power_w": -1}}, "hardware.idle_power_w"),
        ({"points": [point(1, 2.0, temperature_c=1e308)]}, "points.0.temperature_c"),
        ({"parameters": {"denoise": -1}}, "parameters.denoise"),
        ({"held_out": {"batch": {"points": 0, "median": 0.1, "largest": 0.2}}}, "held_out.batch.points"),
        ({"held_out": {"batch": {"points": 3, "median": 0.3, "largest": 0.2}}}, "held_out.batch"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_figure_is_named(tmp_path, change, key):
    assert written(tmp_path, json.dumps({**GOOD, **change})).key == key


@pytest.mark.parametrize("change", [{"batch": 10**400}, {"side": 10**400}, {"steps": 10**30}])
def test_a_figure_out_of_all_bounds_is_bad_input(tmp_path, change):
    written(tmp_path, json.dumps({**GOOD, "points": [point(1, 2.0) | change]}))


def test_quantiles_are_in_order(tmp_path):
    wrong = {"side": 1024, "steps": 28, "batch": 1, "latency_s": {"p50": 2.0, "p10": 3.0, "p90": 1.0}}
    written(tmp_path, json.dumps({**GOOD, "points": [wrong]}))


@given(data=st.data())
@settings(max_examples=150)
def test_junk_anywhere_in_a_profile_is_bad_input_or_harmless(tmp_path_factory, data):
    document = copy.deepcopy(GOOD)
    node, key = data.draw(st.sampled_from(places(document)))
    node[key] = data.draw(JUNK)
    path = tmp_path_factory.mktemp("junk") / "p.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        profile = load_profile(path)
    except BadInput:
        return
    for p in profile.file.points:
        if p.status != "oom":
            assert 0 < profile.batch_seconds(Spec("x", p.side, p.steps, p.frames), p.batch) < math.inf
