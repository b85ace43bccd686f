"""Where the shipped profiles and scenarios are: beside the package in a checkout, inside it when installed."""

import contextlib
from pathlib import Path

from sim.errors import BadInput

PACKAGE = Path(__file__).resolve().parent


def folder(kind: str) -> Path:
    """The folder of shipped 'profiles' or 'scenarios'."""
    inside = PACKAGE / "shipped" / kind
    return inside if inside.is_dir() else PACKAGE.parent / kind


def names(kind: str, suffix: str) -> list[str]:
    """Names (without suffix) of what is shipped, sorted."""
    return sorted(p.stem for p in folder(kind).glob(f"*{suffix}"))


def find(kind: str, name: str, suffix: str, near: Path | None = None) -> Path:
    """A file by path, or by the name of a shipped one. Raises BadInput that lists what is shipped.

    A name with a folder or the suffix in it is a path, relative to `near`, else to the working directory.
    """
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # names that no file can have
        path = Path(name).expanduser()
        if path.suffix == suffix or len(path.parts) > 1:
            found = path if near is None or path.is_absolute() else near / path
            if found.is_file():
                return found
        elif (shipped := folder(kind) / f"{name}{suffix}").is_file():
            return shipped
    raise BadInput(
        f"there is no such {kind[:-1]}",
        value=name,
        expected=f"a path to a {suffix} file, or one of {', '.join(names(kind, suffix))}",
    )
