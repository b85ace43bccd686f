"""Random examples are the same in any process: alone, beside others, and whatever was imported before."""

import importlib.util
import sys
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st


def examples() -> list[tuple[int, float, str]]:
    """What a test of ours is given."""
    found: list[tuple[int, float, str]] = []

    @settings(max_examples=200)
    @given(st.integers(), st.floats(), st.text())
    def given_to_a_test(number, size, name):
        found.append((number, size, name))

    given_to_a_test()
    return found


def test_examples_do_not_depend_on_which_modules_a_process_has_imported(tmp_path, monkeypatch):
    before = repr(examples())
    dice, path = Random(1), tmp_path / "just_imported.py"
    path.write_text("\n".join(f"_{n} = {dice.getrandbits(40)}, {dice.random()}, 'word {n}'" for n in range(100)))
    spec = importlib.util.spec_from_file_location("just_imported", path)
    assert spec is not None
    monkeypatch.setitem(sys.modules, "just_imported", importlib.util.module_from_spec(spec))
    assert repr(examples()) == before
