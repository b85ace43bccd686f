"""The commands about latency profiles: list, show, measure on a GPU, import from other people's tables."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich import box
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from sim import shipped
from sim.cli.console import INTERRUPTED, Console, name_column, progress_bar, say_where, text_table
from sim.cli.places import file_name, refuse_file, save_figure, write_file
from sim.cli.soak_command import Dtype, profile_soak
from sim.errors import BadInput

if TYPE_CHECKING:
    from sim.profile.file import Point
    from sim.profile.measure.plan import Options
    from sim.profile.measure.presets import Preset
    from sim.profile.profile import Profile

profile_app = typer.Typer(
    help="List, show, measure and import latency profiles of GPUs.", no_args_is_help=True, rich_markup_mode=None
)


@profile_app.command("list")
def profile_list() -> None:
    """List the shipped profiles."""
    from sim.profile.profile import load_profile

    rows = []
    for name in shipped.names("profiles", ".json"):
        profile = load_profile(shipped.find("profiles", name, ".json"))
        file = profile.file
        origin = f"{file.provenance} {'for' if file.provenance == 'assumed' else 'on'} {file.hardware.gpu}"
        known = file.hardware.gpu not in ("none", "unknown")
        rows.append((name, f"{file.feature}, {origin if known else file.provenance}: {profile.extent()}"))
    Console().print(text_table(name_column("profile"), "what it has times of", rows=rows, box=box.SIMPLE_HEAD))


@profile_app.command("show")
def profile_show(
    names: Annotated[list[str], Argument(metavar="PROFILE...", help="Shipped profiles by name, or files.")],
    figure: Annotated[
        Path | None, Option(help="Also draw latency, throughput and energy into this PNG or SVG.")
    ] = None,
) -> None:
    """Show profiles: where they are from, time and energy at each point, and how wrong the interpolation is."""
    from sim.profile.profile import load_profile

    refuse_file(figure, ".png", ".svg")
    profiles = [load_profile(shipped.find("profiles", name, ".json")) for name in names]
    for profile in profiles:
        show(profile)
    if figure is not None:
        from sim.plots.profiles import profile_figure

        save_figure(profile_figure(profiles), figure)


def show(profile: "Profile") -> None:
    from sim.profile.service_time import held_out

    file = profile.file
    facts = [
        ("profile", file.name),
        ("model", file.model),
        ("provenance", f"{file.provenance}: {file.source}"),
        ("method", file.method),
        ("hardware", ", ".join(filter(None, (f"{file.hardware.count} x {file.hardware.gpu}", file.precision)))),
        (file.provenance, "; ".join(filter(None, (profile.extent(), file.date)))),
        ("spread", "unknown" if profile.spread != profile.spread else f"{profile.spread:.2%} between visits"),
        ("sha256", profile.sha256),
    ]
    if file.ceiling is not None:
        card = (
            f"{file.ceiling.matmul_tflops:.0f} TFLOP/s in dense products, {file.ceiling.copy_gb_per_s:.0f} GB/s copied"
        )
        facts.append(("the card", f"{card}, measured just before"))
    if file.loading is not None:
        read = f"{file.loading.from_disk_s:.3g} s from disk, {file.loading.from_page_cache_s:.3g} s from the page cache"
        facts.append(("loading", f"{file.loading.gib:.3g} GiB of weights: {read}"))
    facts += [("MARKED", mark) for mark in file.marks]
    if file.anchor is not None:
        facts.append(("anchor", f"{file.anchor.work} moved {file.anchor.moved:.1%} at most"))
    for kind, error in (file.held_out or held_out(file)).items():
        words = f"{error.median:.1%} median, {error.largest:.1%} largest, of {error.points} points left out by {kind}"
        facts.append(("held out", words))
    for check in file.checks:
        off = check.predicted_s / check.measured_s - 1
        where = f"{check.side} px, {check.steps} steps, batch {check.batch}"
        words = f"{where}: {check.measured_s:.4g} s, {check.predicted_s:.4g} s from components ({off:+.1%})"
        facts.append(("end to end", words))
    console = Console()
    for label, value in facts:
        console.print(Text(f"{label:12}{value}"))
    console.print(point_table(profile))


def point_table(profile: "Profile") -> Table:
    """Every measured point; columns in which nothing is known are left out."""
    ceiling = profile.file.ceiling
    rows = [point_row(point, ceiling.matmul_tflops if ceiling else math.nan) for point in profile.file.points]
    columns = [name for name in rows[0] if any(row.get(name) for row in rows)]
    table = Table(*columns)
    for row in rows:
        table.add_row(*[row[name] for name in columns], style="yellow" if row["status"] else None)
    return table


def point_row(p: "Point", card: float) -> dict[str, str]:
    """One point in words and figures; '' for what is not known or goes without saying. card: its TFLOP/s, or nan."""
    known = p.status != "oom"
    return {
        "component": "" if p.component == "pipeline" else p.component,
        "side": str(p.side),
        "steps": str(p.steps) if p.component == "pipeline" else "",
        "frames": "" if p.frames == 1 else str(p.frames),
        "batch": str(p.batch),
        "median s": f"{p.median:.4g}" if known else "",
        "spread": "" if p.spread != p.spread else f"{p.spread:.1%}",
        "a second": f"{p.batch / p.median:.3g}" if known else "",
        "TFLOP/s": rate(p, card) if known and p.teraflop else "",
        "W": f"{p.power_w:.0f}" if p.power_w else "",
        "J each": f"{p.power_w * p.median / p.batch:.4g}" if p.power_w else "",
        "status": "" if p.status == "ok" else p.status,
    }


def rate(p: "Point", card: float) -> str:
    """TFLOP/s of a point, with its share of what the card does in plain products where that is known."""
    speed = (p.teraflop or 0.0) / p.median
    return f"{speed:.3g}" if math.isnan(card) else f"{speed:.3g} ({speed / card:.0%})"


@profile_app.command("measure")
def profile_measure(
    preset: Annotated[str, Argument(help="What to measure; 'list' names all presets.")],
    out: Annotated[Path | None, Option(help="The profile file; PRESET.json in this folder if not given.")] = None,
    device: Annotated[Literal["cuda", "cpu"], Option(help="What it is measured on.")] = "cuda",
    dtype: Annotated[Dtype | None, Option(help="The preset's if not given.")] = None,
    variant: Annotated[Literal["eager", "channels_last", "compile"], Option(help="How the model is run.")] = "eager",
    batches: Annotated[
        str | None, Option(help="Batches of requests, like 1-8 or 1,2,4; the preset's if not given.")
    ] = None,
    sides: Annotated[str | None, Option(help="Sides in px (chat: context in tokens), like 512,1024.")] = None,
    frames: Annotated[str | None, Option(help="Frames of a video, like 33,81.")] = None,
    components: Annotated[str | None, Option(help="Only these, like denoise,vae_decode.")] = None,
    visits: Annotated[int, Option(min=1, help="Visits of every point at least.")] = 3,
    budget: Annotated[float, Option(min=1, help="Seconds after which no new visit begins.")] = 480.0,
    loading: Annotated[
        bool, Option("--loading", help="Also write the weights to disk and time loading them; needs the space.")
    ] = False,
    resume: Annotated[bool, Option("--resume", help="Go on with what the file holds.")] = False,
) -> None:
    """Measure a model on this machine's GPU: seconds, memory and power of its components, batch by batch.

    Real architectures with random weights; nothing is downloaded. Needs: pip install 'meltpoint[bench]'. The file is
    written after every block of visits, so that an interrupted measurement keeps what it has, and --resume goes on.
    """
    from sim.profile.measure.plan import Options
    from sim.profile.measure.presets import PRESETS, preset_named
    from sim.profile.profile import load_profile

    if preset == "list":
        rows = [(name, known.feature, known.model) for name, known in PRESETS.items()]
        Console().print(text_table(name_column("preset"), "feature", "architecture of", rows=rows))
        return
    chosen = preset_named(preset)
    options = Options(
        device=device,
        dtype=dtype,
        variant=variant,
        batches=numbers(batches, "--batches"),
        sides=numbers(sides, "--sides"),
        frames=numbers(frames, "--frames"),
        components=tuple(components.split(",")) if components else None,
        loading=loading,
        visits=visits,
        budget=budget,
    )
    path = out or Path(f"{preset}.json")
    measured(chosen, options, path, resume=resume)
    show(load_profile(path))
    say_where("Profile", path)


def measured(preset: "Preset", options: "Options", path: Path, *, resume: bool) -> None:
    """Measure into a profile file. Raises BadInput without torch; an interrupt keeps what the file has by then."""
    try:
        from sim.profile.measure.measure import measure
    except ModuleNotFoundError as missing:
        raise BadInput(f"measuring needs {missing.name}", expected="pip install 'meltpoint[bench]'") from None
    console = Console(stderr=True)
    try:
        with progress_bar(f"measuring {preset.name}", "done") as report:
            measure(preset, options, path, resume=resume, say=lambda line: console.print(Text(line)), progress=report)
    except KeyboardInterrupt:
        if path.exists():
            console.print(Text(f"interrupted; {path} holds every finished block, go on with --resume"))
            raise typer.Exit(INTERRUPTED) from None
        raise


profile_app.command("soak")(profile_soak)


@profile_app.command("import")
def profile_import(
    table: Annotated[Path, Argument(help="A file, or a folder with results of one kind of load test.")],
    name: Annotated[str, Option(help="The profile's name.")],
    model: Annotated[str, Option(help="The model variant that was measured.")],
    gpu: Annotated[str, Option(help="The GPU it ran on.")],
    source: Annotated[str, Option(help="Who measured it, and where it can be found.")],
    feature: Annotated[str, Option(help="image, edit, video or chat.")] = "image",
    provenance: Annotated[
        Literal["measured", "published", "assumed"], Option(help="Whose figures these are.")
    ] = "published",
    side: Annotated[int, Option(min=1, help="Side in px (chat: prompt in tokens) of rows that do not say.")] = 1024,
    steps: Annotated[int, Option(min=1, help="Denoising steps of rows that do not say.")] = 28,
    batch: Annotated[int, Option(min=1, help="Batch of rows that do not say.")] = 1,
    concurrency: Annotated[
        float | None, Option(min=1, help="Requests in flight, of a load test that does not say.")
    ] = None,
    out: Annotated[Path | None, Option(help="The profile file; NAME.json if not given.")] = None,
) -> None:
    """Make a profile of a load test (perf_analyzer, GenAI-Perf, AIPerf, vLLM, SGLang) or of any table of latencies.

    The kind of file is recognised by its content. Latency with several requests in flight is no service time: of such
    rows only the throughput is used, where Little's law holds. A table of your own has latency_s (or latency_ms,
    latency_us) and, where rows differ, side, steps, frames, batch, power_w, memory_gib.
    """
    from sim.profile.file import digest, laid_out
    from sim.profile.perf_tables import import_profile
    from sim.profile.profile import misfit, profile_from

    facts = {
        "name": name,
        "model": model,
        "feature": feature,
        "provenance": provenance,
        "source": source,
        "method": "imported from a table",
        "date": "",
        "precision": "",
        "hardware": {"gpu": gpu},
    }
    document = import_profile(table, facts, side=side, steps=steps, batch=batch, concurrency=concurrency)
    path = out or Path(f"{file_name(name, '--name', '')}.json")
    if path.exists():
        raise BadInput("this file is there already", file=path, expected="the name of a new file")
    try:
        profile = profile_from(document)
    except ValueError as wrong:
        raise misfit(wrong, table) from None
    write_file(laid_out(document), path)
    Console().print_line(document["method"])
    Console().print_line(f"Profile in {path} ({profile.extent()}), sha256 {digest(document)}")


def numbers(text: str | None, key: str) -> tuple[int, ...] | None:
    """'1-4,8' as (1, 2, 3, 4, 8); None stays None."""
    if text is None:
        return None
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdigit() or (dash and not high.isdigit()) or int(low) < 1:
            raise BadInput("not a list of whole numbers", key=key, value=text, expected="like 1-8 or 1,2,4")
        found += range(int(low), int(high or low) + 1)
    if not found:
        raise BadInput("an empty list", key=key, value=text, expected="like 1-8 or 1,2,4")
    return tuple(sorted(set(found)))
