"""The command that tells the story of two launches from runs that it makes."""

from pathlib import Path
from typing import Annotated

from typer import Option

from sim.cli.console import ready, runs_bar, say, say_where
from sim.cli.options import Processes, machines
from sim.cli.places import refuse_other_file, write_page


def story(
    out: Annotated[Path, Option(help="The page to write; .html, or .md without figures.")] = Path("story.html"),
    processes: Processes = None,
) -> None:
    """Write the story of the launches of 2022 and 2025 as one page, every claim from a run.

    A million people in five days and in an hour: when GPUs saturate and throttle, what users saw, what was done, the
    team, money, energy, carbon and water; each claim with its figure, the origin of that and the run behind it.
    """
    from sim.report.page import as_markdown, html
    from sim.report.story import cells
    from sim.report.story import story as told
    from sim.studies.executors import asked, itself

    refuse_other_file(out, ".html", ".md")
    wanted = cells()
    ready()
    with machines(None, processes) as executor, runs_bar("The story's runs") as report:
        made = asked(executor, itself, [*wanted.values()], report)
    if len(made) < len(wanted):
        raise KeyboardInterrupt
    run, main, appendix = told(dict(zip(wanted, made, strict=True)))
    say(main[0].blocks[0].sentences)  # type: ignore[union-attr]
    made_of = html if out.suffix == ".html" else as_markdown
    say_where("\nStory", write_page(made_of(run, main, appendix), out))
