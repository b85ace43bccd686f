"""The benchmark's bookkeeping: what is visited, when a point is settled, what is marked, what a killed run keeps."""

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="measuring needs torch: pip install 'meltpoint[bench]'")

from sim.errors import BadInput
from sim.profile.file import Anchor, Point
from sim.profile.measure.gates import check_parameters, marks
from sim.profile.measure.machine import Machine
from sim.profile.measure.plan import Cell, Options, anchors, block, grid
from sim.profile.measure.presets import PRESETS
from sim.profile.measure.record import Record
from sim.profile.measure.timing import Visit, median_interval, visit
from sim.profile.profile import load_profile

CELL = Cell("denoise", 128, 1, 1)
TINY = PRESETS["tiny"]
QUICK = Options(device="cpu", visits=2)


def visited(*us: int) -> Visit:
    return Visit(list(us), us[0], None, None, None, [])


def record(tmp_path, **options) -> Record:
    quick = Options(**{"device": "cpu", "visits": 2, **options})
    return Record.start(TINY, quick, Machine("cpu"), "float32", tmp_path / "tiny.json", resume=False)


def written(tmp_path) -> Record:
    """One that has visited a cell, and is interrupted."""
    under_way = record(tmp_path)
    under_way.scouted(CELL, 0.1, 0.0, 0.0)
    under_way.visited(CELL, visited(1000, 1001, 1002))
    under_way.write()
    return under_way


def test_every_component_has_every_batch_and_text_only_one_side():
    cells = grid(TINY, ("text", "denoise"), Options(sides=(128, 256), batches=(1, 2, 3)))
    assert [c.batch for c in cells if c.component == "text"] == [1, 2, 3]
    assert len([c for c in cells if c.component == "denoise"]) == 6
    assert anchors(cells)[:2] == [Cell("denoise", 128, 1, 1), Cell("denoise", 128, 1, 2)]


def test_a_block_is_a_fresh_order_of_all_cells_and_the_same_each_time():
    cells = [Cell("denoise", s, 1, b) for s in (128, 256) for b in range(1, 9)]
    assert sorted(block(cells, 0)) == sorted(cells)
    assert block(cells, 0) == block(cells, 0) != block(cells, 1)


def test_the_interval_of_the_median_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(2000):
        samples = np.exp(rng.normal(0, 0.1, 41))
        inside += abs(np.median(samples) - 1.0) <= median_interval(samples) * np.median(samples) * 1.6
    assert inside > 0.95 * 2000
    assert median_interval(np.ones(5)) == np.inf
    assert median_interval(np.ones(6)) == 0.0


def test_a_visit_takes_at_least_so_many_samples_and_stops_in_time():
    calls = []
    found = visit(Machine("cpu"), lambda: calls.append(1), seconds=0.0, least=4, most=60)
    assert len(found.device_us) == 4
    assert len(calls) == 5, "one call before is not counted"
    assert len(visit(Machine("cpu"), lambda: None, seconds=9.0, least=1, most=7).device_us) == 7


def test_a_point_is_visited_until_it_is_settled_or_often_enough(tmp_path):
    under_way = record(tmp_path, most_visits=4)
    options = Options(device="cpu", visits=2, most_visits=4)
    under_way.scouted(CELL, 0.1, 0.0, 0.0)
    assert under_way.wants(CELL, options)
    under_way.visited(CELL, visited(1000, 1001, 1002))
    assert under_way.wants(CELL, options), "one visit is not enough"
    under_way.visited(CELL, visited(1000, 1001, 1002))
    assert not under_way.wants(CELL, options)
    other = CELL._replace(batch=2)
    under_way.scouted(other, 0.1, 0.0, 0.0)
    for _ in range(4):
        assert under_way.wants(other, options)
        under_way.visited(other, visited(1000, 2000, 3000))
    assert not under_way.wants(other, options)
    under_way.settle(options)
    assert {p.batch: p.status for p in under_way.file().points} == {1: "ok", 2: "unsettled"}


def test_a_file_is_written_whole_and_a_resumed_record_goes_on(tmp_path):
    written(tmp_path)
    kept = load_profile(tmp_path / "tiny.json")
    assert kept.file.marks == ["unfinished: measuring was interrupted; go on with --resume"]
    again = Record.start(TINY, QUICK, Machine("cpu"), "float32", tmp_path / "tiny.json", resume=True)
    assert (again.blocks, again.known(CELL)) == (1, True)
    again.visited(CELL, visited(1003, 1004, 1005))
    assert len(again.write().points[0].visits_us) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.json"]


def test_a_file_of_another_measurement_is_not_gone_on_with(tmp_path):
    written(tmp_path)
    with pytest.raises(BadInput, match="precision"):
        Record.start(TINY, QUICK, Machine("cpu"), "bfloat16", tmp_path / "tiny.json", resume=True)
    with pytest.raises(BadInput, match="there already"):
        Record.start(TINY, QUICK, Machine("cpu"), "float32", tmp_path / "tiny.json", resume=False)


def test_a_truncated_or_edited_file_is_not_gone_on_with(tmp_path):
    written(tmp_path)
    path = tmp_path / "tiny.json"
    whole = path.read_text()
    for broken, word in ((whole[:-30], "readable"), (whole.replace("[1000,", "[900,"), "edited")):
        path.write_text(broken)
        with pytest.raises(BadInput, match=word):
            Record.start(TINY, QUICK, Machine("cpu"), "float32", path, resume=True)


def test_a_full_disk_is_one_clear_sentence_and_leaves_the_file_before(tmp_path, monkeypatch):
    under_way = written(tmp_path)
    before = (tmp_path / "tiny.json").read_text()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(BadInput, match="No space left"):
        under_way.write()
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.json"]
    assert (tmp_path / "tiny.json").read_text() == before


def points(*medians: int, teraflop: float = 0.0) -> list[Point]:
    return [
        Point(component="denoise", side=512, batch=n, visits_us=[[us] * 3, [us] * 3], teraflop=teraflop * n or None)
        for n, us in enumerate(medians, 1)
    ]


def test_a_point_above_the_cards_ceiling_is_an_error():
    with pytest.raises(BadInput, match="above the 989"):
        marks(points(1000, teraflop=1.1), None, "NVIDIA H200", "bfloat16", on_gpu=True)
    assert marks(points(1000, teraflop=0.9), None, "NVIDIA H200", "bfloat16", on_gpu=True) == []


def test_a_point_far_below_the_ceiling_is_marked_from_four_requests_on():
    slow = points(1000, 2000, 3000, 4000, teraflop=0.01)
    (mark,) = marks(slow, None, "NVIDIA H200", "bfloat16", on_gpu=True)
    assert "batch 4" in mark


def test_more_work_in_less_time_is_marked():
    (mark,) = marks(points(1000, 800), None, "some GPU", "bfloat16", on_gpu=True)
    assert "faster than batch 1" in mark


def test_many_unsettled_points_are_counted_in_one_mark_and_few_are_named():
    def unsettled(count):
        times = [1000 * (batch + 1) for batch in range(count)]
        return [p.model_copy(update={"status": "unsettled"}) for p in points(*times)]

    assert len(marks(unsettled(3), None, "some GPU", "bfloat16", on_gpu=True)) == 3
    (mark,) = marks(unsettled(4), None, "some GPU", "bfloat16", on_gpu=True)
    assert mark.startswith("4 of 4 points did not settle")


def test_points_whose_launching_takes_the_whole_call_are_counted_on_a_gpu():
    host = [
        p.model_copy(update={"host_us": [us]}) for p, us in zip(points(1000, 2000, 3000), (950, 1850, 100), strict=True)
    ]
    (mark,) = marks(host, None, "some GPU", "bfloat16", on_gpu=True)
    assert mark.startswith("2 of 3 points are bound by the host")
    assert marks(host, None, "some CPU", "bfloat16", on_gpu=False) == []


@pytest.mark.parametrize(("on_gpu", "count"), [(True, 1), (False, 0)])
def test_an_anchor_that_moved_is_marked_on_a_gpu(on_gpu, count):
    anchor = Anchor(work="denoise", visits_us=[1000, 1000, 1030])
    assert anchor.moved == pytest.approx(0.03)
    assert len(marks(points(1000), anchor, "some GPU", "bfloat16", on_gpu=on_gpu)) == count


def test_a_model_of_another_size_than_published_is_an_error():
    check_parameters({"denoise": 10, "text": 5}, {"denoise": 10}, "sdxl")
    with pytest.raises(BadInput, match="published"):
        check_parameters({"denoise": 11}, {"denoise": 10}, "sdxl")


def test_cuda_asked_for_and_not_there_is_one_clear_sentence():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(BadInput, match="CUDA"):
        Machine("cuda")


def test_a_profile_under_way_is_strict_json(tmp_path):
    under_way = record(tmp_path)
    under_way.scouted(CELL, 0.1, 0.5, 0.001)
    under_way.visited(CELL, visited(1000, 1001, 1002))
    under_way.write()
    json.loads((tmp_path / "tiny.json").read_text(), parse_constant=pytest.fail)
