"""The documentation is true: commands parse, links lead somewhere, the scenario reference is that of the schema."""

import re
import shlex
from pathlib import Path

import pytest
import typer

import sim
from sim import load
from sim.cli.main import app
from sim.scenario.reference import reference
from tests.site import problems

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "docs" / "reference" / "commands.md"  # by make docs, from the commands themselves
GENERATED = ROOT / "docs" / "reference" / "scenario.md"
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    if path.name != "CHANGELOG.md" and path != BUILT
)
CODE = re.compile(r"^(?:```\w*\n(.*?)^```|((?: {4}.*\n)+))|(?<!`)`(meltpoint [^`]+)`", re.MULTILINE | re.DOTALL)
PLACEHOLDER = re.compile(r"^[A-Z]{2,}|\.\.\.$|\|")  # SCENARIO, ...: the words of a sentence about a command
WRONG = typer.BadParameter.__base__  # what a command line that cannot be read raises
COMMAND = typer.main.get_command(app)


def commands(text):
    """Each command of a page, continued lines joined, and whether it stands in a sentence."""
    for fenced, indented, inline in CODE.findall(text):
        block = (fenced or indented or inline.replace("\n", " ")).replace("\\\n", " ")
        for line in block.splitlines():
            if line.strip().startswith("meltpoint "):
                yield line.strip(), bool(inline)


def parse(words):
    """Walk down to the command that the words name, and parse its arguments without running it. Raises WRONG."""
    command, name = COMMAND, "meltpoint"
    while hasattr(command, "commands") and words:
        name, *words = words
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    command.make_context(name, words)


def said(line):
    return shlex.split(line, comments=True)[1:]


ALL = [(path, *found) for path in PAGES for found in commands(path.read_text(encoding="utf-8"))]


def test_there_are_commands_to_check():
    assert len(ALL) > 80
    assert {"README.md", "sizing.md", "checks.md"} <= {path.name for path, _, _ in ALL}


@pytest.mark.parametrize("path", sorted({path for path, _, _ in ALL}), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_of_a_page_parses(path):
    wrong = []
    for _, line, in_a_sentence in [one for one in ALL if one[0] == path]:
        words = said(line)
        if any(PLACEHOLDER.search(word) for word in words):
            continue
        try:
            parse(words)
        except WRONG as problem:
            if not (in_a_sentence and problem.format_message().startswith("Missing argument")):
                wrong.append(f"{line}: {problem.format_message()}")
    assert wrong == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_that_a_page_takes_from_the_front_door_is_there(path):
    text = path.read_text(encoding="utf-8")
    names = {
        name.strip() for line in re.findall(r"^from sim import (.+)$", text, re.MULTILINE) for name in line.split(",")
    }
    assert {*names, *re.findall(r"`sim\.(\w+)\(", text)} <= set(sim.__all__)


def test_a_wrong_option_and_a_wrong_command_are_seen():
    with pytest.raises(WRONG, match="--sed"):
        parse(said("meltpoint run steady --sed 1"))
    with pytest.raises(AssertionError, match="no command"):
        parse(said("meltpoint rnu steady"))


def test_the_scenario_reference_is_that_of_the_schema():
    assert GENERATED.read_text(encoding="utf-8") == reference()


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "coming-from").glob("*.md")), ids=lambda path: path.stem)
def test_both_programs_of_a_comparison_give_the_same(path, capsys):
    """The examples print a figure of each: the last line has them, and they agree within a tenth."""
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], path.name, "exec"), {"__name__": "__main__"})
    one, other = [float(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", capsys.readouterr().out)]
    assert one == pytest.approx(other, rel=0.1)


def test_the_scenario_of_the_tutorial_is_one(tmp_path):
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    (tmp_path / "launch.yaml").write_text(re.search(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL).group(1))
    scenario = load(tmp_path / "launch.yaml")
    for _, line, _ in [one for one in ALL if one[0].name == "tutorial.md" and "--playbook" in one[1]]:
        words = said(line)
        assert words[words.index("--playbook") + 1] in scenario.playbooks


def test_every_word_of_the_glossary_is_there_once_and_in_order():
    words = re.findall(
        r"^\| \*\*(.+?)\*\*", (ROOT / "docs/reference/glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert words == sorted(set(words), key=str.lower)
    needed = (
        "signup, arrival, service time, wait, latency, offered load, capacity, utilisation, throughput, goodput, "
        "refuse, throttle, abandon, retry, backoff, lost, waitlist, SLO attainment, headroom, saturation, drain time, "
        "time to saturation, point of no return, horizon, warm-up, replication, common random numbers, linger, "
        "dispatch, replica, slot, provisioning delay, lead time"
    )
    assert set(needed.split(", ")) <= set(words)


def test_a_dead_link_and_a_foreign_script_are_seen(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#x">b</a><a href="c.html">c</a><script src="https://cdn/x.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="y"></p><a href="a.html">a</a>')
    assert problems(tmp_path) == [
        "a.html: loads https://cdn/x.js",
        "a.html: no place b.html#x",
        "a.html: no file c.html",
    ]


def test_every_page_and_notebook_is_in_the_index():
    """Sphinx says so too, but not in a test."""
    listed = (ROOT / "docs" / "index.md").read_text(encoding="utf-8").split()
    pages = [path.relative_to(ROOT / "docs").with_suffix("") for path in PAGES if ROOT / "docs" in path.parents]
    assert {page.as_posix() for page in pages} - {"index"} <= set(listed)
    assert {f"../notebooks/{path.stem}" for path in ROOT.glob("notebooks/*.ipynb")} <= set(listed)


def test_links_between_pages_lead_to_files():
    """In a checkout, without building the site, which checks anchors too."""
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"
