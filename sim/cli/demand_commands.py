"""The commands about demand: fit a curve to counts, import recordings, check generated against recorded, export."""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from sim.cli import options
from sim.cli.console import Console, name_column, progress_bar, say, say_where, text_table
from sim.cli.export_command import demand_export
from sim.cli.options import key_and_text, named, option
from sim.cli.places import begins_with, refuse_file, refuse_taken, save_figure, write_file
from sim.errors import BadInput
from sim.units import count, moment, seconds
from sim.wording import amount, duration, percent

demand_app = typer.Typer(
    help="Fit, import, check and export demand: signups and requests.", no_args_is_help=True, rich_markup_mode=None
)
demand_app.command("export")(demand_export)


@demand_app.command("fit")
def demand_fit(
    data: Annotated[Path, Argument(metavar="DATA.csv", help="Times and counts of people, a row each.")],
    models: Annotated[
        str | None,
        Option("--model", help="weibull, bass, logistic, exponential, linear, with commas; all if not given."),
    ] = None,
    people: Annotated[str | None, Option(help="The size of the market where it is known, like 100M.")] = None,
    base: Annotated[
        str | None, Option(help="People who were there before, like 9.7M; those of the first row if not given.")
    ] = None,
    unbounded: Annotated[bool, Option("--unbounded", help="Forecast growth without an end too.")] = False,
    start: Annotated[str | None, Option(help="When it began (UTC), like 2023-07-05T23:00Z.")] = None,
    horizon: Annotated[
        str | None, Option(help="How far to forecast, like '30 days'; twice the data if not given.")
    ] = None,
    time: Annotated[str, Option(help="The column of times, if its name does not say so.")] = "",
    value: Annotated[str, Option(help="The column of counts, if its name does not say so.")] = "",
    counts: Annotated[
        Literal["cumulative", "interval"] | None, Option(help="What the counts are; recognised if not given.")
    ] = None,
    dates: options.Dates = None,
    figure: Annotated[Path | None, Option(help="Draw data, fits and the fan of futures: a PNG or SVG.")] = None,
    seed: Annotated[int, Option(min=0, help="Selects the random numbers of the fan of futures.")] = 1,
) -> None:
    """Fit signup curves to counts of people: rank them, say what the data leave open, print a block for a scenario.

    Counts may stand on a base: where the first row is the beginning of all, its people were there before. Small falls
    of a cumulative count are taken as corrections, and named. Curves without an end are no forecast unless a market
    ends them (--people) or they are asked for (--unbounded).
    """
    from sim.demand.fitting.counts import read_counts
    from sim.demand.fitting.fit import fit_all
    from sim.demand.fitting.forecast import demand_block, sentences
    from sim.demand.fitting.growth_curves import chosen_models

    refuse_file(figure, ".png", ".svg")
    chosen = chosen_models(models)
    market = option("--people", people, count)
    begins = option("--start", start, moment)
    before = option("--base", base, count)
    read = read_counts(data, time=time, value=value, counts=counts, start=begins, base=before, dates=dates)
    until = horizon_of(option("--horizon", horizon, seconds), float(read.times[-1]))
    fits = fit_all(read, chosen, people=market, horizon=until, unbounded=unbounded)
    console = Console()
    console.print(fits_table(fits, until))
    say(sentences(fits, read))
    if figure is not None:
        import numpy as np

        from sim.demand.fitting.forecast import fan_of_futures
        from sim.plots.waves import fit_figure

        fan = fan_of_futures(fits, np.linspace(0.0, until, 401), seed)
        save_figure(fit_figure(read, fits, fan), figure)
    console.print("\nFor a scenario:\n")
    console.print_line(demand_block(fits[0], read, until))


def horizon_of(asked: float | None, span: float) -> float:
    """Seconds from the beginning to forecast: as asked, else twice as long as the data."""
    if asked is None:
        return 2 * span
    if not span <= asked < math.inf:
        message = "the horizon must lie beyond the data, and end"
        raise BadInput(message, key="--horizon", value=asked, expected=f"at least {span / 3600:.4g} h")
    return asked


def fits_table(fits: list[Any], horizon: float) -> Table:
    """Fits, the best first."""
    from sim.demand.fitting.forecast import interval_in_words

    titles = (r"figures \[95 %]", "fit", f"to {duration(horizon)}")
    table = Table(*(name_column(title) for title in titles), show_lines=True)
    for fit in fits:
        figures = "".join(f"\n{interval_in_words(fit, p)}" for p in fit.model.parameters)
        corrected = "unknown" if math.isnan(fit.aicc) else f"{fit.aicc:.1f}"
        forecast = f"peak {amount(fit.peak * 3600)}/h\nat {duration(fit.peak_time)}\n{amount(fit.total)} in all"
        table.add_row(
            Text.assemble((fit.model.name, "bold"), figures),
            f"rms {percent(fit.rms)}\nAICc {corrected}",
            forecast if fit.forecasts else "no forecast:\nit has no end",
        )
    return table


@demand_app.command("import")
def import_recording(
    files: Annotated[list[Path], Argument(metavar="FILE...", help="Parts of one recording, the oldest first.")],
    format: Annotated[str | None, Option(help="Recognised by content if not given; a wrong name lists all.")] = None,
    out: Annotated[
        Path | None, Option(help="The trace, or the wave of counts; FILE.trace.parquet or FILE.wave.yaml here.")
    ] = None,
    stamped: options.Stamped = None,
    attempts: Annotated[
        bool, Option("--attempts", help="Keep repeats of refused and failed requests as requests of their own.")
    ] = False,
    values: options.CountValues = None,
    refused: options.Refused = None,
    time: Annotated[str | None, Option(help="The column of times.")] = None,
    user: Annotated[str | None, Option(help="The column that names the user.")] = None,
    images: Annotated[str | None, Option(help="The column of images asked for.")] = None,
    kind: Annotated[str | None, Option(help="The column that says what was asked for.")] = None,
    time_unit: options.TimeUnit = None,
    zone: options.Zone = None,
    dates: options.Dates = None,
    keep: Annotated[
        list[str] | None,
        Option(
            metavar="COLUMN=TEXT", help="Keep only rows with this text in this column, like status=SUCCEED. Repeatable."
        ),
    ] = None,
    repair: Annotated[str | None, Option(help="What to repair, like sort,drop-invalid; see the table.")] = None,
    kind_depth: Annotated[int, Option(min=0, help="Parts of a log's path that are the kind; 0: all.")] = 1,
    gap: Annotated[float, Option(min=1, help="Warn of pauses longer than this many mean pauses.")] = 100.0,
    length: Annotated[str | None, Option(help="What the recording covers, like '24 days'.")] = None,
    seed: Annotated[
        int, Option(min=0, help="Selects the random numbers of servegen, whose arrivals are generated.")
    ] = 1,
    replace: Annotated[bool, Option("--replace", help="Replace an earlier trace.")] = False,
) -> None:
    """Read recorded arrivals, report their problems row by row, and save them as a trace; counts become a wave.

    Reads logs of nginx, Apache, AWS ALB, CloudFront, IIS, Envoy, HAProxy and others, JSON lines, spans of
    OpenTelemetry, Zipkin and Jaeger, records of k6, JMeter, hey, vegeta, vLLM and AIPerf, tables (CSV, Parquet, .xlsx,
    .ods); and counts of Prometheus, CloudWatch, Datadog, Google Cloud, Grafana and of tables.
    A log that stamps the answer has its arrivals computed from the durations in it.

    A recording with problems is refused unless --repair names a repair for each: drop-invalid, clip-negative,
    assume-zone, assume-one, assume-user, drop-duplicates, drop-overlap, keep-duplicates, sort. Gaps are reported and
    kept.
    """
    from sim.demand.recordings.counted import WAVE
    from sim.demand.recordings.findings import refuse_open_problems
    from sim.demand.recordings.importing import ImportOptions, examine_recording
    from sim.demand.recordings.trace import is_trace, save_trace

    expected = "COLUMN=TEXT, like status=SUCCEED"
    wanted = [key_and_text("--keep takes a column and a text", one, expected) for one in keep or []]
    how = ImportOptions(
        time=time,
        user=user,
        images=images,
        kind=kind,
        format=format,
        unit=time_unit,
        zone=zone,
        keep=dict(wanted),
        kind_depth=kind_depth,
        longest_gap=gap,
        length=option("--length", length, seconds),
        seed=seed,
        stamped=stamped,
        attempts=attempts,
        values=values,
        refused=refused,
        dates=dates,
    )
    names = ", ".join(path.name for path in files)
    stem = re.sub(r"\.(gz|bz2|xz|zst)$", "", files[0].name).rsplit(".", 1)[0]
    target = out or Path(f"{stem}.trace.parquet")
    refuse_taken(target, lambda path: is_trace(path) or begins_with(WAVE)(path), replace=replace)
    with progress_bar(names, "read") as report:
        done = examine_recording(files, how, named(repair), report)
    console = Console()
    if format is None:
        console.print_line(f"Read as {done.layout}; --format says otherwise")
    if done.counts is not None:
        write_wave(done.counts, out or Path(f"{stem}.wave.yaml"), names, console, replace)
        return
    if done.found:
        console.print(problem_table(done.found))
    if done.trace is None:
        refuse_open_problems(done.found, tuple(path.name for path in files))
        return
    save_trace(done.trace, target, replace=replace)
    show_trace(done.trace, console)
    say_where("\nTrace", target)


def write_wave(counts: Any, target: Path, source: str, console: Console, replace: bool) -> None:
    from sim.demand.recordings.counted import WAVE, first_instant, wave_block

    refuse_taken(target, begins_with(WAVE), replace=replace)
    total, busiest = counts.total, int((counts.total / counts.lasts).argmax())
    lasts = counts.lasts[busiest]
    unknown = {name: int((values != values).sum()) for name, values in counts.series.items()}
    facts = [
        ("counts", f"{len(total):,} intervals from {first_instant(counts):%Y-%m-%d %H:%M:%S} UTC"),
        *((name, f"{values[values == values].sum():,.0f}") for name, values in counts.series.items()),
        ("in all", f"{total.sum():,.0f}, at most {total[busiest]:,.0f} in an interval of {lasts:g} s"),
        *(("note", note) for note in counts.notes),
        *(("note", f"{name}: {n:,} intervals are unknown, and bring nobody") for name, n in unknown.items() if n),
    ]
    for label, value in facts:
        console.print_line(f"{label:8} {value}")
    write_file(wave_block(counts, source), target)
    say_where("\nA wave for a scenario", target)


def problem_table(found: list[Any]) -> Table:
    """The problems of a recording, one per row."""
    table = Table(name_column("problem"), "rows", "first", "its value", "--repair would do")
    for one in found:
        style = "red" if one.open else "yellow" if not one.repair else None
        name = f"{one.problem} (warning)" if one.warning else one.problem
        cells = (f"{one.rows:,}", one.where, one.value, f"done: {one.remedy()}" if one.repair else one.remedy())
        table.add_row(name, *(Text(cell) for cell in cells), style=style)
    return table


def show_trace(trace: Any, console: Console) -> None:
    """The figures of a trace, and its notes."""
    from sim.demand.recordings.summary import trace_figures

    f = trace_figures(trace)
    facts = [
        ("rows", f"{f.rows:,}"),
        ("users", f"{f.users:,}" if trace.users_known else "not recorded"),
        ("images", f"{f.images:,}"),
        ("kinds", ", ".join(trace.kinds[:6]) + (", ..." if len(trace.kinds) > 6 else "") or "not recorded"),
        ("from", f"{trace.start:%Y-%m-%d %H:%M:%S} UTC" if trace.start else "time 0, date not recorded"),
        ("span", f"{f.span:,.0f} s = {f.span / 86400:.2f} days"),
        ("rate", f"{known(f.rate)}/s on average, {f.peak_minute:,} in the peak minute"),
        ("Fano", f"{known(f.fano)} by the minute (1 for Poisson arrivals)"),
        ("pauses", f"coefficient of variation {known(f.pause_cv)} (1 for Poisson arrivals)"),
        *(("also", name) for name in [", ".join(trace.extra)] if name),
        *(("note", note) for note in trace.notes),
    ]
    for label, value in facts:
        console.print_line(f"{label:8}{value}")


def known(value: float) -> str:
    """A figure, or a dash where there are too few rows for it."""
    return f"{value:.3g}" if value == value else "-"


@demand_app.command("presets")
def demand_presets(
    figure: Annotated[Path | None, Option(help="Also draw people and signups into this PNG or SVG.")] = None,
) -> None:
    """List the launches that a scenario can name: 'demand: [{kind: preset, name: threads}]'."""
    from sim.demand.waves.launches import presets

    refuse_file(figure, ".png", ".svg")
    found = presets()
    console = Console()
    rows = [(name, one.title, amount(one.people()), amount(one.peak_hour())) for name, one in found.items()]
    console.print(text_table(name_column("preset"), "what", "people", "peak an hour", rows=rows))
    console.print("Where the figures are from: published (P), fitted to published ones (F), assumed (A)")
    for name, preset in found.items():
        console.print(Text(f"{name}: {preset.source}. Confidence: {preset.confidence}."))
    if figure is not None:
        from sim.plots.waves import waves_figure

        save_figure(waves_figure(found), figure)
