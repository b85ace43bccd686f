"""The command that opens a page on which a scenario's settings are moved, or writes one over a saved sweep."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from sim.cli.console import Console, ready
from sim.cli.options import Override, Sets, scenario_of
from sim.cli.places import refuse_other_file, write_page
from sim.errors import BadInput


def explore(
    scenario: Annotated[str | None, Argument(help="A shipped scenario (see: meltpoint scenarios) or a file.")] = None,
    offline: Annotated[
        Path | None, Option(metavar="SWEEP", help="Write a page over this saved sweep (Parquet) instead.")
    ] = None,
    out: Annotated[Path | None, Option(help="The file of that page; SWEEP.html if not given.")] = None,
    override: Override = None,
    sets: Sets = None,
    port: Annotated[int, Option(min=0, max=65535, help="The port of the page's address; 0 takes any free one.")] = 5006,
    browser: Annotated[bool, Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Move the settings of a scenario and see what changes.

    Opens a page on this computer alone, with sliders for GPUs, demand, the playbook and more, and two settings side by
    side on the same people; it needs pip install 'meltpoint[explore]'. With --offline, writes one HTML file whose
    sliders move between the runs of a sweep: it needs no server and no network, and can be mailed.

    meltpoint sweep surge --vary pools.gpus.gpus=48..128:6 --out grid.parquet
    meltpoint explore --offline grid.parquet
    """
    if offline is not None:
        if scenario is not None or override is not None or sets:
            expected = "--offline SWEEP alone, since a sweep holds its scenario"
            raise BadInput("a saved sweep cannot be changed", value=scenario or override or sets, expected=expected)
        return write_offline(offline, out or offline.with_suffix(".html"))
    if scenario is None or out is not None:
        expected = "meltpoint explore SCENARIO, or meltpoint explore --offline SWEEP --out FILE"
        raise BadInput("a page is of a scenario, or of a saved sweep", expected=expected)
    return serve(scenario, override, sets, port, browser=browser)


def write_offline(sweep: Path, page: Path) -> None:
    """Write the page of a saved sweep."""
    from sim.explorer.offline import offline_page

    refuse_other_file(page, ".html", ".htm")
    written = write_page(offline_page(sweep), page)
    size = written.stat().st_size
    Console().print_line(f"Page in {written} ({size / 1e3:,.0f} kB)")


def serve(scenario: str, override: str | None, sets: list[str] | None, port: int, *, browser: bool) -> None:
    """Serve the page of a scenario until interrupted. Raises BadInput without the extra, or where the port is taken."""
    loaded = scenario_of(scenario, override, sets)
    try:
        from sim.explorer.live_page import server
    except ModuleNotFoundError as missing:
        expected = "pip install 'meltpoint[explore]'; or --offline SWEEP, which needs nothing"
        raise BadInput(f"the live page needs {missing.name}", expected=expected) from None
    ready()
    try:
        made, worker = server(loaded, port)
    except OSError as wrong:
        expected = "another --port, or 0 for a free one"
        message = f"no page can be served there ({wrong.strerror})"
        raise BadInput(message, key="--port", value=port, expected=expected) from None
    made.start()
    address = f"http://127.0.0.1:{made.port}/"
    Console().print_line(f"{loaded.title}: {address} (this computer alone; Ctrl-C ends it)")
    if browser:
        made.show("/")
    try:
        made.io_loop.start()
    finally:
        worker.close()
