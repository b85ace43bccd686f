"""The commands that list scenarios and policies, and describe what a scenario file may hold."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

import sim
from sim import shipped
from sim.cli.console import Console, name_column, ready, runs_bar, say_where, text_table, write_out
from sim.cli.options import axis
from sim.cli.places import refuse_file, save_figure, save_table, write_file
from sim.errors import BadInput
from sim.writing import write_bytes


def scenarios() -> None:
    """List the shipped scenarios with their playbooks and overrides."""

    rows = []
    for name in shipped.names("scenarios", ".yaml"):
        loaded = sim.load(name)
        lines = [loaded.question, f"playbooks: {', '.join(loaded.playbooks)}"]
        if loaded.overrides:
            lines.append(f"overrides: {', '.join(loaded.overrides)}")
        rows.append((name, "\n".join(lines)))
    heads = (name_column("scenario"), "question, playbooks and overrides")
    Console().print(text_table(*heads, rows=rows, show_lines=True))
    say_where("Files", shipped.folder("scenarios"))


def schema(
    out: Annotated[Path | None, Option(help="Write it to this file.")] = None,
    markdown: Annotated[
        bool, Option("--markdown", help="A page to read: each key with unit, default, source and an example.")
    ] = False,
) -> None:
    """Print the JSON Schema of scenario files.

    With it an editor completes and checks them while you write; in VS Code, name it under yaml.schemas.
    """
    if markdown:
        from sim.scenario.reference import reference

        text = reference()
    else:
        text = json_schema()
    if out is None:
        write_out(text)
    else:
        write_file(text, out)


def json_schema() -> str:
    """The schema as text. Making it takes a second, so it is kept in the user's cache until some source changes."""
    sources = (path.read_bytes() for path in sorted(shipped.PACKAGE.rglob("*.py")))
    key = hashlib.sha256(pydantic.VERSION.encode() + b"".join(sources)).hexdigest()[:16]
    kept: Path | None = None
    with contextlib.suppress(OSError, RuntimeError):  # no home, or no such file
        kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meltpoint" / f"schema-{key}.json"
        return kept.read_text(encoding="utf-8")

    text = json.dumps(sim.Scenario.model_json_schema(by_alias=True), indent=1) + "\n"
    if kept is not None:
        with contextlib.suppress(OSError):
            keep(text, kept)
    return text


def keep(text: str, path: Path) -> None:
    """Write a file of the cache in full or not at all, in place of those of other sources. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(text.encode(), path)
    for earlier in path.parent.glob("schema-*.json"):
        if earlier != path:
            earlier.unlink(missing_ok=True)


def policies(
    name: Annotated[str | None, Argument(help="A policy's kind, as in a scenario; all of them if none.")] = None,
    figure: Annotated[
        Path | None, Option(help="Draw the named policy under a surge, beside no policy: PNG or SVG.")
    ] = None,
    loads: Annotated[
        str | None, Option(help="Try policies under these loads, like 50%,200%,300%,1000%: a table of goodput.")
    ] = None,
    seeds: Annotated[int, Option(min=1, help="Runs at each load.")] = 1,
    out: Annotated[Path | None, Option(help="Write the table of loads here as CSV.")] = None,
) -> None:
    """Explain what each policy protects, what it costs and when it fails.

    With --figure, draws one policy under the shipped scenario 'surge': twice the capacity in demand for half an hour,
    from people who try again. With --loads, tries policies under steady loads, where everybody asks once and gives up
    after a minute.
    """
    from sim.policies.playbook import KINDS, policy_called

    refuse_file(figure, ".png", ".svg")
    refuse_file(out)
    if figure is not None and name is None:
        raise BadInput("a figure shows one policy", key="name", expected="a policy's kind before --figure")
    if name is not None:
        policy_called(name)
    if loads is not None:
        under_loads(shares(loads), [name] if name else list(KINDS), seeds, out)
    elif name is None:
        Console().print(overview())
    else:
        explain(name)
        if figure is not None:
            at_work(name, figure)


def shares(loads: str) -> list[float]:
    """Loads as the command line has them. Raises BadInput."""
    found = axis("loads", loads)
    if not 0 < found[0] <= found[-1] <= 100:
        raise BadInput("this is not a load", key="--loads", value=loads, expected="shares like 50%,200%")
    return found


def overview() -> Table:
    """Every policy in three lines, by family."""
    from sim.policies.playbook import KINDS

    table, family = Table(name_column(""), name_column(""), "", box=None, show_header=False), ""
    for kind, policy in KINDS.items():
        a = policy.advice
        if a.family != family:
            table.add_row(Text(f"{family and chr(10)}{a.family.upper()}"))
            family = a.family
        for place, what in enumerate(("protects", "costs", "fails")):
            table.add_row(Text("" if place else kind, style="bold"), Text(what, style="dim"), getattr(a, what))
    return table


def explain(kind: str) -> None:
    """One policy in words, with what it looks like in a scenario."""
    from sim.policies.playbook import policy_called
    from sim.scenario.reference import policy_keys

    policy, console = policy_called(kind), Console()
    a = policy.advice
    console.print(Text(kind, style="bold"), f"({a.family})")
    console.print(policy.summary(), markup=False)
    for what in ("protects", "costs", "fails"):
        console.print(Text(f"{what:>9}  ", style="dim"), getattr(a, what), sep="", markup=False)
    table = Table(name_column("key"), "value", "default", "what it is")
    for row in policy_keys(policy):
        table.add_row(*map(Text, row))
    console.print(table)
    console.print("In a playbook:", style="dim")
    example = [{"policy": {"kind": kind, **a.example}}]
    console.print(yaml.safe_dump(example, sort_keys=False, default_flow_style=None), markup=False)


def at_work(kind: str, figure: Path) -> None:
    """Draw a policy under the surge, and nothing under the same."""
    from sim.plots.policy import policy_figure
    from sim.policies.playbook import example

    scenario = sim.load("surge")
    ready()
    nothing, run = sim.simulate(scenario, []), sim.simulate(scenario, [example(kind)])
    save_figure(policy_figure(nothing, run, kind, "gpus"), figure)


def under_loads(loads: list[float], kinds: list[str], seeds: int, out: Path | None) -> None:
    """Try policies under steady loads."""
    from sim.studies.policy_study import policies_under_load

    ready()
    with runs_bar("policies under load") as report:
        found = policies_under_load(loads, kinds, seeds, report)
    Console().print(load_table(found))
    save_table(found, out)


def load_table(found: Any) -> Table:
    """Goodput over capacity at each load, with the share refused and how often knobs are turned."""
    from sim.policies.playbook import KINDS

    loads = sorted(found["load"].unique())
    table = Table(
        name_column("policy"), "claims", *[f"at {100 * share:.0f} %" for share in loads], "refused", "turns an hour"
    )
    for kind, rows in found.groupby("policy", sort=False):
        means = rows.groupby("load")[["goodput", "as_asked", "refused", "turns"]].mean()
        least = means.loc[min(loads)]
        table.add_row(
            str(kind),
            "yes" if kind in KINDS and KINDS[str(kind)].advice.keeps_goodput else "",
            *[goodput_words(means.loc[share]) for share in loads],
            f"{100 * least['refused']:.1f} %",
            f"{means['turns'].max():.0f}",
        )
    table.caption = (
        "Images in time over capacity as asked (degraded ones included, and what is as asked in brackets where they "
        f"differ); refused: share of attempts at {100 * min(loads):.0f} %; turns: the most at any load."
    )
    return table


def goodput_words(means: Any) -> str:
    total, as_asked = 100 * means["goodput"], 100 * means["as_asked"]
    return f"{total:.0f} %" if abs(total - as_asked) < 0.5 else f"{total:.0f} % ({as_asked:.0f} %)"
