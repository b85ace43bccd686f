"""The last step of commands that save results: a run to show beside an answer, and the report of what was saved."""

import shlex
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.console import Console, progress_bar, say_where
from sim.cli.places import write_page
from sim.errors import BadInput
from sim.writing import replacing

if TYPE_CHECKING:
    from sim.results.run import Run
    from sim.scenario.scenario import Scenario


def save_answer(
    answer: Any, scenario: "Scenario", playbook: str, seed: int, folder: Path, save: "Callable[[Run], object]"
) -> None:
    """Save the answer of a study with one run of what it chose, and the report. Raises BadInput.

    save: writes the answer and that run into the folder.
    """
    from sim.studies.unlimited import simulate_with_demand

    with progress_bar("a run of the answer, for its report") as report:
        run = simulate_with_demand(scenario, playbook, seed=seed, progress=report)
    with replacing(folder):
        save(run)
    say_where("\nTables", folder)
    write_report([run], answer, folder)


def load_report() -> None:
    """Load what draws reports, which takes a second."""
    import sim.report  # noqa: F401


@contextmanager
def report_beside(runs: list[Any], about: Any, folder: Path, verdicts: list[Any] | None = None) -> Iterator[None]:
    """Draw the report in a thread while the body saves the results, and write it once they are saved."""
    from sim.report import render

    with ThreadPoolExecutor(1) as thread:
        page = thread.submit(render, runs, about, verdicts)
        yield
        put_beside(page.result, folder)


def write_report(runs: list[Any], about: Any, folder: Path, page: Path | None = None) -> None:
    """Draw the report of saved results and write it."""
    from sim.report import render, render_markdown

    made = render_markdown if page is not None and page.suffix == ".md" else render
    put_beside(lambda: made(runs, about), folder, page)


def put_beside(drawn: Callable[[], str], folder: Path, page: Path | None = None) -> None:
    """Write a report of saved results. Whatever stops it, they stay, and the report can be made again."""
    try:
        written = write_page(drawn(), page or folder / "report.html")
    except BaseException as stopped:
        again = f"meltpoint report {shlex.quote(str(folder))}"
        if isinstance(stopped, OSError):
            message = f"the report cannot be written ({stopped.strerror}); the results are complete in {folder}"
            raise BadInput(message, file=page or folder, expected=f"space, then: {again}") from None
        hint = f"The results are complete in {folder}; the report can be made with: {again}"
        Console(stderr=True).print_line(hint)
        raise
    say_where("Report", written)
