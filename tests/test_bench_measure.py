"""The tiny model measured for real on this processor, and what happens when a measurement goes wrong."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="measuring needs torch: pip install 'meltpoint[bench]'")

from typer.testing import CliRunner

import sim.profile.measure.measure as bench
from sim.cli.profile_commands import profile_app
from sim.errors import BadInput
from sim.model.request import Spec
from sim.profile.measure.machine import Machine
from sim.profile.measure.plan import Options
from sim.profile.measure.presets import PRESETS
from sim.profile.measure.soak import soak, summary
from sim.profile.profile import load_profile

QUICK = Options(device="cpu", batches=(1, 2), sides=(128, 192), visits=2, most_visits=2, seconds=0.01, budget=60)


def measured(path, preset="tiny", options=QUICK, **more):
    said: list[str] = []
    seen: list[float] = []
    file = bench.measure(PRESETS[preset], options, path, say=said.append, progress=seen.append, **more)
    return file, said, seen


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A finished profile of the tiny model."""
    path = tmp_path_factory.mktemp("bench") / "tiny.json"
    file, _, seen = measured(path)
    assert all(0 <= share <= 1 for share in seen)
    return path, file


def test_every_component_is_measured_at_every_size_and_batch(tiny):
    _, file = tiny
    cells = {(p.component, p.side, p.batch) for p in file.points}
    assert cells == {
        *(("text", 128, b) for b in (1, 2)),
        *((c, s, b) for c in ("denoise", "vae_decode") for s in (128, 192) for b in (1, 2)),
    }
    assert all(len(p.visits_us) == 2 and p.first_s and p.teraflop for p in file.points)


def test_the_file_says_what_was_measured_and_how(tiny):
    _, file = tiny
    assert (file.provenance, file.precision, file.guidance) == ("measured", "float32", PRESETS["tiny"].guidance)
    assert file.hardware.gpu.startswith("CPU")
    assert file.environment["torch"] == torch.__version__
    assert file.parameters["denoise"] > 0
    assert file.architecture
    assert len(file.anchor.visits_us) >= 2 * len(file.points)
    assert file.load_s


def test_the_profile_times_a_batch_and_was_checked_end_to_end(tiny):
    path, file = tiny
    profile = load_profile(path)
    seconds = profile.batch_seconds(Spec("tiny", 160, 8), 2)
    assert 0 < seconds < 60
    assert len(file.checks) == 3
    assert {(c.side, c.batch) for c in file.checks} == {(128, 1), (128, 2), (192, 1)}


def test_a_finished_measurement_goes_on_to_more_visits_when_resumed(tiny, tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(tiny[0].read_text())
    file, _, _ = measured(path, options=replace(QUICK, visits=3, most_visits=3), resume=True)
    assert {len(p.visits_us) for p in file.points} == {3}


def test_an_interrupted_measurement_keeps_its_finished_blocks(tmp_path, monkeypatch):
    stays = 0
    real = bench.visit

    def until_tired(*arguments, **options):
        nonlocal stays
        stays += 1
        if stays > 30:  # ten cells and as many anchors are the first block
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(bench, "visit", until_tired)
    path = tmp_path / "tiny.json"
    with pytest.raises(KeyboardInterrupt):
        measured(path)
    kept = load_profile(path).file
    assert {len(p.visits_us) for p in kept.points} == {1}
    assert "unfinished" in kept.marks[0]
    monkeypatch.setattr(bench, "visit", real)
    file, _, _ = measured(path, resume=True)
    assert {len(p.visits_us) for p in file.points} == {2}
    assert not any("unfinished" in mark for mark in file.marks)


class Broken:
    """A model whose denoiser fails from some batch on."""

    def __init__(self, model, fails):
        self.model, self.fails = model, fails
        self.components, self.parameters, self.config = model.components, model.parameters, model.config

    def work(self, component, batch, side, frames):
        call = self.model.work(component, batch, side, frames)
        return (lambda: self.fails(batch, call())) if component == "denoise" else call

    def pipeline(self, batch, side, frames, steps):
        return self.model.pipeline(batch, side, frames, steps)


def breaking(monkeypatch, fails):
    real = bench.build
    monkeypatch.setattr(bench, "build", lambda *a, **k: Broken(real(*a, **k), fails))


def test_a_batch_that_does_not_fit_is_recorded_and_larger_ones_are_not_tried(tmp_path, monkeypatch):
    tried = []

    def small_memory(batch, output):
        tried.append(batch)
        if batch >= 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return output

    breaking(monkeypatch, small_memory)
    file, said, _ = measured(tmp_path / "tiny.json", options=replace(QUICK, batches=(1, 2, 3), sides=(128,)))
    status = {p.batch: p.status for p in file.points if p.component == "denoise"}
    assert (status[2], status[3]) == ("oom", "oom")
    assert 3 not in tried
    assert any("does not fit" in line for line in said)
    profile = load_profile(tmp_path / "tiny.json")
    assert profile.inside(Spec("tiny", 128, 8), 1)
    assert not profile.inside(Spec("tiny", 128, 8), 2)


def test_out_of_memory_at_the_smallest_batch_is_one_clear_sentence(tmp_path, monkeypatch):
    def no_memory(_batch, _output):
        raise torch.OutOfMemoryError("CUDA out of memory")

    breaking(monkeypatch, no_memory)
    with pytest.raises(BadInput, match="smallest batch"):
        measured(tmp_path / "tiny.json")


def test_output_that_is_not_a_number_is_one_clear_sentence(tmp_path, monkeypatch):
    breaking(monkeypatch, lambda _batch, output: output * float("nan"))
    with pytest.raises(BadInput, match="not finite"):
        measured(tmp_path / "tiny.json")


def test_the_command_measures_and_shows(tmp_path):
    out = tmp_path / "edit.json"
    sizes = ["--device", "cpu", "--batches", "1", "--sides", "128", "--visits", "2", "--budget", "5"]
    done = CliRunner().invoke(profile_app, ["measure", "tiny-edit", *sizes, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "vae_encode" in done.output
    assert json.loads(out.read_text())["strength"] < 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["measure", "dall-e"], "preset"),
        (["measure", "tiny", "--device", "tpu"], "device"),
        (["measure", "tiny", "--device", "cpu", "--batches", "none"], "batches"),
        (["measure", "tiny", "--device", "cpu", "--sides", "100"], "side"),
        (["measure", "tiny", "--device", "cpu", "--components", "soul"], "nothing is left"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, monkeypatch, arguments, word):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(profile_app, arguments)
    assert done.exit_code
    assert word in f"{done.exception} {done.output}"
    assert list(tmp_path.iterdir()) == []


def test_the_weights_are_written_and_read_back_on_request(tmp_path):
    options = Options(device="cpu", batches=(1,), sides=(128,), components=("text",), visits=1, budget=20, loading=True)
    file = bench.measure(PRESETS["tiny"], options, tmp_path / "tiny.json", say=lambda _: None, progress=lambda _: None)
    assert file.loading.gib > 4 * file.parameters["text"] / 2**30  # of the other parts too
    assert file.ceiling is None  # a CPU has no card


def test_a_soak_has_a_row_per_second_and_works_only_under_load(monkeypatch):
    monkeypatch.setattr("sim.profile.measure.soak.SIDE", 64)
    rows = list(soak(Machine("cpu"), seconds=2, rest=1, dtype="float32"))
    assert [row.phase for row in rows] == ["before", "load", "load", "after"]
    assert all((row.tflops > 0) == (row.phase == "load") for row in rows)
    assert summary(rows)[0].startswith("Full load for 2 s")
