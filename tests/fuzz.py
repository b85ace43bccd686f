"""Documents changed at random (scenarios, profiles, recordings, saved runs): used or refused in one message, no fault.

`python -m tests.fuzz 50000` tries that many and counts what became of them; the suite tries a few hundred.
"""

import argparse
import copy
import json
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from sim import shipped
from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.profile.profile import load_profile
from sim.results.folder import checksum, digest
from sim.results.run import load_run
from sim.results.verdict import sentences, verdict
from sim.scenario.load import load

PART = 2500  # documents in one search of Hypothesis, which slows down as it remembers more of them
EVERY = list(HealthCheck)
KINDS = ("scenario", "profile", "recording", "saved run")
RAW = (  # as somebody writes them into YAML, without quotes
    *(
        "010",
        "0x1F",
        "0b11",
        "0o17",
        "1:30",
        "1_000",
        "-0.0",
        "1e3",
        "1e-320",
        ".inf",
        "-.INF",
        ".nan",
        "+5",
        "5.",
        ".5",
    ),
    *("yes", "Off", "~", "2024-02-30", "2024-12-31T23:59:60Z", "\u0664", "1,5", "1 000", "&a b", "*a", "!!int 3", "@x"),
    *("1_0.5", "08", "1e400", "'4'", "4 # five", "? 4", "- 4", "<<", "12e", "0.1.2", "\u00bd", "\u22125", "1e+05"),
)
ODD: list[Any] = [
    *(f"raw-{number}-" for number in range(len(RAW))),
    *(None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, float("nan"), float("inf"), 10**30, 2**63, 129, 257),
    *(
        "",
        " ",
        "0",
        "-5",
        "1,5",
        "0,500",
        "010",
        "1e309",
        "never",
        "unlimited",
        "nan",
        "x" * 300,
        "\x1b[31m",
        "é",
        "\ud800",
    ),
    *("0000-01-01", "9999-12-31", "2262-04-12", "1 day", "1e308 s", "-3 min", "1/3", "1/0", "1/1000000", "200 %"),
    *(
        "18:00",
        "1 per 0 s",
        "1e12 per s",
        "../../x",
        "none",
        "all",
        [],
        {},
        [[]],
        {"": 1},
        {"kind": "x"},
        {"a": {"b": 1}},
    ),
]
TABLE = "time,user,images\n2025-03-31T18:00:00Z,a,1\n2025-03-31T18:00:07.5Z,b,2\n2025-03-31T18:01:00Z,a,1\n"
CELLS = [
    *(
        "",
        "x",
        "-1",
        "1e308",
        "nan",
        "9999-12-31T00:00:00Z",
        "0000-01-01",
        "2262-04-12",
        "1677-01-01",
        "2016-12-31T23:59:60Z",
    ),
    *(
        '"',
        "\x00",
        "\x1b[2J",
        "1,5",
        "99999999999999999999",
        "é",
        "\ud800",
        "a" * 5000,
        "\r",
        "1970",
        "1743440400",
        "1743440400000",
    ),
]
CHANGES = st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.booleans()), min_size=1, max_size=3)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of nested values."""
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    return [place for key, value in items for place in [(node, key), *places(value)]]


def changed(document: Any, changes: list[tuple[int, int, bool]], odd: list[Any]) -> Any:
    """A copy of nested values in which some are replaced by odd ones, or taken away."""
    document = json.loads(json.dumps(document, default=str))
    for where, what, remove in changes:
        all_places = places(document)
        if not all_places:
            break
        node, key = all_places[where % len(all_places)]
        if remove and what % 4 == 0:
            del node[key]
        elif remove and isinstance(node, dict) and what % 4 == 1:
            node[str(odd[what % len(odd)])] = node.pop(key)
        else:
            node[key] = copy.deepcopy(odd[what % len(odd)])  # a later change may go into it
    return document


@cache
def scenario_source(name: str) -> Any:
    return yaml.safe_load(shipped.find("scenarios", name, ".yaml").read_text("utf-8"))


@cache
def profile_source(name: str) -> Any:
    source = json.loads(shipped.find("profiles", name, ".json").read_text("utf-8"))
    return {key: value for key, value in source.items() if key != "sha256"}  # which a change would belie


@cache
def saved_run() -> dict[str, bytes]:
    """The files of a small run."""
    with tempfile.TemporaryDirectory() as folder:
        run = simulate(load("steady", sets={"horizon": "3 min", "warm_up": 0, "alive.window": "1 min"}))
        return {path.name: path.read_bytes() for path in run.save(Path(folder) / "run").iterdir()}


def damaged(content: bytes, changes: list[tuple[int, int, bool]]) -> bytes:
    """Bytes of which some are others, or that end early."""
    for where, what, cut in changes:
        place = where % max(len(content), 1)
        content = content[:place] + (b"" if cut and what % 5 == 0 else bytes([what % 256]) + content[place + 1 :])
    return content


def use(kind: str, number: int, changes: list[tuple[int, int, bool]], folder: Path) -> None:
    """Make one changed file and read it as the commands do. Raises BadInput where it is refused."""
    if kind == "scenario":
        names = shipped.names("scenarios", ".yaml")
        source = scenario_source(names[number % len(names)])
        path = folder / "a.yaml"
        text = yaml.safe_dump(changed(source, changes, ODD), allow_unicode=False)
        for n, raw in enumerate(RAW):
            text = text.replace(f"raw-{n}-", raw)
        path.write_text(text, "utf-8", "replace")
        load(path)
    elif kind == "profile":
        names = shipped.names("profiles", ".json")
        source = profile_source(names[number % len(names)])
        path = folder / "a.json"
        path.write_text(json.dumps(changed(source, changes, ODD)), "utf-8")
        load_profile(path)
    elif kind == "saved run":
        name, signed = sorted(saved_run())[number % len(saved_run())], number % 3 > 0
        for file, content in saved_run().items():
            (folder / file).write_bytes(content)
        facts = json.loads(saved_run()["manifest.json"])
        if name == "manifest.json":
            facts = changed(facts, changes, ODD)
        else:
            (folder / name).write_bytes(damaged(saved_run()[name], changes))
        if isinstance(facts, dict) and signed and isinstance(facts.get("files"), dict):  # its checksums fit
            facts["files"] = {name: checksum(folder / name) for name in saved_run() if name != "manifest.json"}
            with suppress(ValueError):  # NaN, which cannot be signed
                facts["sha256"] = digest(facts)
        (folder / "manifest.json").write_text(json.dumps(facts))
        sentences(verdict(load_run(folder)))
    else:
        rows = changed([line.split(",") for line in TABLE.splitlines()], changes, CELLS)
        lines = [",".join(map(str, row)) if isinstance(row, list) else str(row) for row in rows]
        path = folder / "a.csv"
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        examine_recording([path], ImportOptions(), ["drop-invalid"] if number % 2 else [])


def outcome(kind: str, number: int, changes: list[tuple[int, int, bool]], folder: Path) -> str:
    """'used', 'refused', or the last lines of the traceback of a fault."""
    try:
        use(kind, number, changes, folder)
    except BadInput as wrong:
        return "refused" if "\n" not in wrong.message else f"a message of several lines: {wrong.message[:80]}"
    except Exception as fault:  # noqa: BLE001 - any other exception is what is looked for
        last = traceback.extract_tb(fault.__traceback__)[-1]
        return f"{type(fault).__name__} at {Path(last.filename).name}:{last.lineno}: {str(fault)[:80]}"
    return "used"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("tries", type=int, nargs="?", default=50_000)
    tries = parser.parse_args().tries
    found: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], Any] = {}
    warnings.simplefilter("error", RuntimeWarning)  # of numpy: a sum without meaning is a fault, too
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):  # what was tried so far is counted
        for part in range(0, tries, PART):

            @seed(part)
            @settings(max_examples=min(PART, tries - part), deadline=None, database=None, suppress_health_check=EVERY)
            @given(st.sampled_from(KINDS), st.integers(0, 10**6), CHANGES)
            def attempt(kind: str, number: int, changes: list[tuple[int, int, bool]]) -> None:
                what = (kind, outcome(kind, number, changes, Path(folder)))
                found[what] += 1
                examples.setdefault(what, (number, changes))

            attempt()
            print(f"{sum(found.values()):,} tried", file=sys.stderr)  # noqa: T201
    faults = 0
    for (kind, what), count in sorted(found.items()):
        known = what in ("used", "refused")
        faults += 0 if known else count
        print(f"{kind:10} {count:7,} {what}" + ("" if known else f"  {examples[kind, what]}"))  # noqa: T201
    print(f"{sum(found.values()):,} tries, {faults:,} faults")  # noqa: T201
    return faults > 0


if __name__ == "__main__":
    sys.exit(main())
