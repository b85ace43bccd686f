"""The commands that list shipped scenarios and describe what a scenario file may hold."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Annotated

import pydantic
from typer import Option

from sim import shipped
from sim.cli.console import Console, name_column, say_where, text_table, write_out
from sim.cli.places import write_file
from sim.writing import write_bytes


def scenarios() -> None:
    """List the shipped scenarios with their playbooks and overrides."""
    from sim.scenario.load import load

    rows = []
    for name in shipped.names("scenarios", ".yaml"):
        loaded = load(name)
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
    from sim.scenario.scenario import Scenario

    text = json.dumps(Scenario.model_json_schema(by_alias=True), indent=1) + "\n"
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
