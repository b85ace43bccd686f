"""The documentation is true: commands parse, links lead somewhere, the scenario reference is that of the schema."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from sim.cli.main import app
from sim.scenario.reference import reference

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "docs" / "reference" / "scenario.md"
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]
    if path.name != "CHANGELOG.md" and "_build" not in path.parts
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


def test_a_wrong_option_and_a_wrong_command_are_seen():
    with pytest.raises(WRONG, match="--sed"):
        parse(said("meltpoint run steady --sed 1"))
    with pytest.raises(AssertionError, match="no command"):
        parse(said("meltpoint rnu steady"))


def test_the_scenario_reference_is_that_of_the_schema():
    assert GENERATED.read_text(encoding="utf-8") == reference()
