"""A saved run is what was written: whatever was changed in it since is refused, with the file and the key."""

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.report.origins import origins
from sim.results.folder import TABLES, checksum, digest
from sim.results.retry_rules import rule_sentences
from sim.results.run import Run, load_run
from sim.results.verdict import sentences, verdict
from sim.scenario.load import load
from sim.scenario.parts import Recording


@pytest.fixture(scope="module")
def run() -> Run:
    sets = {"horizon": "20 min", "playbooks.shed": [{"policy": {"kind": "shed", "share": 0.2}, "from": "11 min"}]}
    return simulate(load("steady", sets=sets), "shed")


@pytest.fixture
def folder(run, tmp_path) -> Path:
    return run.save(tmp_path / "run")


def figures(run: Run) -> list[str]:
    """All that is said about a run."""
    rows = [row for table in origins([run]) for row in table.rows]
    return [*sentences(verdict(run)), *rule_sentences(run), *map(str, rows)]


def refused(folder: Path) -> BadInput:
    with pytest.raises(BadInput) as wrong:
        load_run(folder)
    assert wrong.value.file, "the message names a file"
    return wrong.value


def signed(folder: Path, facts: dict[str, Any] | None = None) -> None:
    """Write the manifest again with checksums that fit whatever is in the folder."""
    facts = facts or json.loads((folder / "manifest.json").read_text())
    facts["files"] = {name: checksum(folder / name) for name in facts["files"]}
    (folder / "manifest.json").write_text(json.dumps({**facts, "sha256": digest(facts)}))


@pytest.mark.parametrize("name", [*(f"{table}.parquet" for table in TABLES), "timeline.npz", "manifest.json"])
def test_a_run_with_any_byte_changed_is_refused_or_says_the_same(run, folder, name):
    file, draw = folder / name, random.Random(name)
    whole, messages = file.read_bytes(), []
    for _ in range(40):
        place, other = draw.randrange(len(whole)), bytes([draw.randrange(256)])
        file.write_bytes(whole[:place] + other + whole[place + 1 :])
        try:
            again = load_run(folder)
        except BadInput as wrong:
            messages.append(str(wrong))
        else:
            assert again.manifest == run.manifest
            assert figures(again) == figures(run)
    assert len(messages) > 30
    assert all(name in message for message in messages)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scale", -1),
        ("scale", 0),
        ("scale", "1"),
        ("horizon", 1e300),
        ("horizon", True),
        ("warm_up", 1e9),
        ("start", "0000-13-45"),
        ("start", "9999-12-31T23:59:00+00:00"),
        ("seed", 1.5),
        ("engine", "abacus"),
        ("pools.gpus.gpus", -4),
        ("pools.gpus.dollars_per_gpu_hour", None),
        ("features.image.pool", "elsewhere"),
        ("features.image.slo", [10]),
        ("alive.window", 1e-9),
        ("alive.kept", 80),
        ("timeline.people.came", -1),
        ("tiers", {}),
        ("unknown", 1),
    ],
)
def test_a_manifest_that_no_run_could_have_is_refused_by_its_key_even_where_its_checksum_fits(folder, key, value):
    facts = json.loads((folder / "manifest.json").read_text())
    *above, last = key.split(".")
    node = facts
    for part in above:
        node = node[part]
    node[last] = value
    signed(folder, facts)
    assert refused(folder).key.startswith(key.partition(".")[0])


def test_a_manifest_that_was_edited_is_refused(folder):
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"dollars_per_gpu_hour": 2.5', '"dollars_per_gpu_hour": 2.6', 1))
    wrong = refused(folder)
    assert (wrong.key, wrong.file) == ("sha256", folder / "manifest.json")


JUNK: list[Any] = [None, -1, 0, 1e308, 10**30, True, "", "x\x1b[31m", [], [[]], {}, {"a": 1}, "2025", 0.5]


def places(node: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested values, as the keys that lead to it."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else []
    return [place for key, value in items for place in [(*above, key), *places(value, (*above, key))]]


def test_junk_anywhere_in_a_manifest_is_refused_or_can_be_shown(folder):
    whole = (folder / "manifest.json").read_text()
    draw = random.Random(1)
    every, refusals = places(json.loads(whole)), 0
    for place in draw.sample(every, len(every) // 2):
        facts = json.loads(whole)
        node = facts
        for part in place[:-1]:
            node = node[part]
        node[place[-1]] = draw.choice(JUNK)
        try:
            signed(folder, facts)
        except (AttributeError, TypeError):  # a junk list of files
            (folder / "manifest.json").write_text(json.dumps(facts))
        try:
            figures(load_run(folder))
        except BadInput:
            refusals += 1
    assert refusals > len(every) // 5


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("counts", lambda counts: counts * 2),
        ("counts", lambda counts: -counts),
        ("counts", lambda counts: counts[:-1]),
        ("counts", lambda counts: counts.astype(float)),
        ("signups", lambda signups: signups * 2),
        ("latencies", lambda latencies: latencies * 2),
        ("seconds", lambda seconds: seconds * np.nan),
        ("queue", lambda queue: queue - 1),
        ("peaks", lambda peaks: -peaks),
    ],
)
@pytest.mark.parametrize("rows", [True, False], ids=["with rows", "without"])
def test_a_timeline_whose_counts_do_not_add_up_is_refused_even_where_its_checksum_fits(
    tmp_path, run, part, change, rows
):
    if not rows:
        run = simulate(load("steady", sets={"horizon": "20 min"}), recording=Recording(rows=False))
    folder = run.save(tmp_path / "one")
    with np.load(folder / "timeline.npz") as arrays:
        parts = dict(arrays)
    np.savez_compressed(folder / "timeline.npz", **{**parts, part: change(parts[part])})
    signed(folder)
    assert Path(str(refused(folder).file)).name == "timeline.npz"


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("requests", lambda rows: rows.assign(arrived=-rows["arrived"])),
        ("requests", lambda rows: rows.assign(started=rows["arrived"] - 1)),
        ("requests", lambda rows: rows.assign(first=rows["first"] + 1)),
        ("requests", lambda rows: rows.assign(user=10**6)),
        ("requests", lambda rows: rows.assign(outcome="served")),
        ("requests", lambda rows: rows.assign(tier="nobody")),
        ("requests", lambda rows: rows.iloc[::2]),
        ("requests", lambda rows: rows.drop(columns="retry")),
        ("batches", lambda rows: rows.assign(size=rows["size"] * 2)),
        ("batches", lambda rows: rows.assign(seconds=rows["seconds"] * 2)),
        ("batches", lambda rows: rows.assign(watts=-rows["watts"])),
        ("users", lambda rows: rows.assign(admitted=rows["arrives"] - 1)),
        ("users", lambda rows: pd.concat([rows, rows])),
        ("decisions", lambda rows: rows.assign(knob="hope")),
        ("decisions", lambda rows: rows.assign(new="much")),
        ("fleet", lambda rows: rows.assign(change=-rows["change"])),
        ("fleet", lambda rows: rows.assign(pool="elsewhere")),
    ],
)
def test_a_table_that_no_run_could_have_written_is_refused_even_where_its_checksum_fits(folder, table, change):
    file = folder / f"{table}.parquet"
    change(pd.read_parquet(file)).to_parquet(file, index=False)
    signed(folder)
    refused(folder)


def test_an_array_larger_than_memory_is_refused_before_it_is_made(folder):
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (100000000000,), }"
    with zipfile.ZipFile(folder / "timeline.npz", "w") as arrays:
        arrays.writestr("signups.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    signed(folder)
    assert "parts" in refused(folder).message


def test_a_run_without_the_file_of_a_table_is_refused(folder):
    facts = json.loads((folder / "manifest.json").read_text())
    del facts["files"]["users.parquet"]
    signed(folder, facts)
    assert refused(folder).key == "files"


@pytest.mark.parametrize("facts", [{}, {"format": "meltpoint-run/3"}, {"format": ["meltpoint-run/6"]}, [], 1])
def test_a_manifest_of_another_format_is_refused(tmp_path, facts):
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    assert refused(tmp_path).expected == "meltpoint-run/6"


def test_a_folder_that_is_not_there_is_named_as_that(tmp_path):
    with pytest.raises(BadInput, match="there is no such folder"):
        load_run(tmp_path / "nowhere")
