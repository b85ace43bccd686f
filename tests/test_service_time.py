"""A batch's time put together from components: exact where the form holds, monotone, and honest outside the grid."""

import math

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.request import Spec
from sim.profile.file import FORMAT, ProfileFile, digest, laid_out
from sim.profile.profile import constant_profile, load_profile, profile_from
from sim.profile.service_time import Surface, held_out
from sim.scenario.load import load

SIDES, BATCHES = (256, 512, 768, 1024), (1, 2, 3, 4, 6, 8)


def law(batch: int, side: int) -> float:
    """Seconds of a step that follows the fitted form exactly."""
    n = side**2 / 1024**2
    return 0.010 + 0.002 * batch + 0.050 * batch * n + 0.020 * batch * n**2


def point(component: str, side: int, batch: int, seconds: float, **more) -> dict:
    us = max(1, round(seconds * 1e6))
    return {"component": component, "side": side, "batch": batch, "visits_us": [[us, us, us], [us, us]], **more}


def document(sides=SIDES, batches=BATCHES, **more) -> dict:
    """A profile of text 5 ms, denoise by the law, decode 20 ms a request."""
    points = [point("text", sides[0], b, 0.005) for b in batches]
    points += [point("denoise", s, b, law(b, s), power_w=600.0) for s in sides for b in batches]
    points += [point("vae_decode", s, b, 0.020 * b, power_w=300.0) for s in sides for b in batches]
    return {
        "format": FORMAT,
        "name": "made-up",
        "model": "made-up",
        "feature": "image",
        "provenance": "measured",
        "source": "a law",
        "method": "none",
        "date": "",
        "precision": "",
        "hardware": {"gpu": "none"},
        "points": points,
        **more,
    }


def test_a_batch_is_the_sum_of_its_components():
    profile = profile_from(document(overhead_s=0.1))
    expected = 0.1 + 0.005 + 28 * law(4, 512) + 0.080
    assert profile.batch_seconds(Spec("made-up", 512, 28), 4) == pytest.approx(expected, rel=1e-4)


def test_an_edit_runs_a_share_of_the_steps_rounded_up():
    profile = profile_from(document(strength=0.6))
    expected = 0.005 + math.ceil(28 * 0.6) * law(1, 512) + 0.020
    assert profile.batch_seconds(Spec("made-up", 512, 28), 1) == pytest.approx(expected, rel=1e-4)


def test_power_is_weighted_by_the_time_of_each_component():
    profile = profile_from(document())
    spec, steps, decode = Spec("made-up", 512, 10), 10 * law(2, 512), 0.040
    assert math.isnan(profile.power(spec, 2)), "the text encoder's power was not measured"
    without_text = document()
    without_text["points"] = [p for p in without_text["points"] if p["component"] != "text"]
    expected = (steps * 600 + decode * 300) / (steps + decode)
    assert profile_from(without_text).power(spec, 2) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("side", [300, 400, 600, 900])
@pytest.mark.parametrize("batch", BATCHES)
def test_an_unmeasured_side_follows_the_form_where_the_form_is_true(side, batch):
    profile = profile_from(document())
    expected = 0.005 + 28 * law(batch, side) + 0.020 * batch
    assert profile.batch_seconds(Spec("made-up", side, 28), batch) == pytest.approx(expected, rel=2e-3)


def test_every_measured_point_is_met_exactly_even_where_the_form_is_wrong():
    wild = document()
    for p in wild["points"]:
        if p["component"] == "denoise" and p["side"] == 512:
            p["visits_us"] = [[us * 3 for us in visit] for visit in p["visits_us"]]
    profile = profile_from(wild)
    for batch in BATCHES:
        expected = 0.005 + 28 * 3 * law(batch, 512) + 0.020 * batch
        assert profile.batch_seconds(Spec("made-up", 512, 28), batch) == pytest.approx(expected, rel=1e-4)


def test_more_in_a_batch_never_takes_less_time_though_a_measurement_says_so():
    noisy = document(batches=(1, 2, 3, 4))
    for p in noisy["points"]:
        if p["component"] == "denoise" and p["batch"] == 3:
            p["visits_us"] = [[us // 2 for us in visit] for visit in p["visits_us"]]
    times = [profile_from(noisy).batch_seconds(Spec("made-up", 512, 28), n) for n in (1, 2, 3, 4)]
    assert times == sorted(times)


@pytest.mark.parametrize(("side", "batch"), [(128, 1), (2048, 1), (512, 9)])
def test_outside_the_grid_it_raises_and_says_what_was_measured(side, batch):
    with pytest.raises(BadInput, match="side 256 to 1024, any steps, frames 1, batch 1 to 8"):
        profile_from(document()).batch_seconds(Spec("made-up", side, 28), batch)


def test_extrapolation_uses_the_form_and_can_be_told_from_a_measurement():
    profile = profile_from(document(), extrapolate=True)
    spec = Spec("made-up", 1536, 28)
    expected = 0.005 + 28 * law(10, 1536) + 0.200
    assert profile.batch_seconds(spec, 10) == pytest.approx(expected, rel=0.01)
    assert not profile.inside(spec, 10)
    assert profile.inside(Spec("made-up", 1024, 28), 8)


def test_batches_that_did_not_fit_are_outside():
    full = document()
    full["points"] = [
        {"component": p["component"], "side": p["side"], "batch": p["batch"], "status": "oom"}
        if p["side"] == 1024 and p["batch"] > 4 and p["component"] == "denoise"
        else p
        for p in full["points"]
    ]
    profile = profile_from(full)
    assert profile.inside(Spec("made-up", 1024, 28), 4)
    assert not profile.inside(Spec("made-up", 1024, 28), 6)
    assert not profile.inside(Spec("made-up", 900, 28), 6), "nor is a side between one that fits and one that does not"


def test_held_out_errors_are_small_where_the_form_is_true_and_large_where_it_is_not():
    true = held_out(ProfileFile.model_validate(document()))
    assert true["side"].largest < 0.01
    assert true["batch"].largest < 0.01
    wild = document()
    for p in wild["points"]:
        if p["component"] == "denoise" and p["side"] == 512:
            p["visits_us"] = [[us * 3 for us in visit] for visit in p["visits_us"]]
    assert held_out(ProfileFile.model_validate(wild))["side"].largest > 0.5


def test_the_form_has_no_negative_coefficient():
    rng = np.random.default_rng(1)
    file = document()
    for p in file["points"]:
        factor = float(rng.uniform(0.7, 1.4))
        p["visits_us"] = [[max(1, round(us * factor)) for us in visit] for visit in p["visits_us"]]
    surface = profile_from(file).times.surfaces["denoise"]
    assert isinstance(surface, Surface)
    assert (surface.coefficients >= 0).all()


def test_spread_is_that_between_visits():
    drifting = document(sides=(512,), batches=(1,))
    for p in drifting["points"]:
        p["visits_us"] = [[1000] * 5, [1100] * 5]
    expected = np.std(np.log([1000, 1100]), ddof=1)
    assert profile_from(drifting).spread == pytest.approx(expected)


def test_chat_is_a_prefill_and_a_decode_for_every_token():
    talk = document()
    talk["feature"] = "chat"
    talk["points"] = [point("prefill", 512, b, 0.050 * b) for b in (1, 2)]
    talk["points"] += [point("decode", 512, b, 0.010) for b in (1, 2)]
    assert profile_from(talk).batch_seconds(Spec("made-up", 512, 200), 2) == pytest.approx(0.100 + 200 * 0.010)


def test_a_file_laid_out_and_read_again_is_the_same_and_an_edited_one_is_refused(tmp_path):
    path = tmp_path / "made-up.json"
    path.write_text(laid_out(document()))
    assert load_profile(path).sha256 == digest(document())
    path.write_text(path.read_text().replace("[5000, 5000, 5000]", "[4000, 4000, 4000]", 1))
    with pytest.raises(BadInput, match="edited"):
        load_profile(path)


def test_a_newer_format_says_so(tmp_path):
    path = tmp_path / "newer.json"
    path.write_text(laid_out({**document(), "format": "meltpoint-profile/9"}))
    with pytest.raises(BadInput, match="newer"):
        load_profile(path)


def test_a_gpu_loads_a_model_first_and_when_it_changes():
    run = simulate_two_models(model_load={"kind": "constant", "value": "20 s"})
    first = run.batches.groupby("gpu").head(1)
    changed = run.batches.groupby("gpu")["spec"].transform(lambda s: s != s.shift())
    assert (run.batches["seconds"] - 20 * changed).to_numpy() == pytest.approx(2.0)
    assert len(first) == 2


def test_gpus_keep_their_own_pace():
    run = simulate_two_models(gpu_speed_cv=0.05)
    by_gpu = run.batches.groupby("gpu")["seconds"]
    assert by_gpu.std().to_numpy() == pytest.approx(0.0, abs=1e-9)
    assert by_gpu.mean().nunique() == 2


def test_noise_as_measured_is_the_spread_between_visits():
    wide = document(sides=(1024,), batches=(1,))
    for p in wide["points"]:
        p["visits_us"] = [[90_000], [100_000], [110_000]]
    scenario = load("steady", sets={"serving.noise.kind": "as measured"}, profiles={"two-seconds": profile_from(wide)})
    assert scenario.noise_shape("two-seconds") == pytest.approx(np.std(np.log([90, 100, 110]), ddof=1))
    unknown = load("steady", sets={"serving.noise": {"kind": "as measured", "cv": 0.3}})
    assert unknown.noise_shape("two-seconds") == pytest.approx(math.sqrt(math.log(1.09)))


def simulate_two_models(model_load=None, gpu_speed_cv=0.0):
    """Two GPUs that serve two models of two seconds each."""
    models = {name: constant_profile(name, 2.0) for name in ("one", "other")}
    features = {
        name: {"share": 0.5, "pool": "gpus", "slo": "10 s", "spec": {"model": name}} for name in ("one", "other")
    }
    sets = {"features": features, "pools.gpus.gpus": 2, "horizon": "10 min", "warm_up": 0}
    sets |= {"serving.gpu_speed_cv": gpu_speed_cv, "demand.0.rate": "0.3 per second"}
    if model_load is not None:
        sets["pools.gpus.model_load"] = model_load
    return simulate(load("steady", sets=sets, profiles=models))
