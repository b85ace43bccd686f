"""How the documentation becomes a site that opens from disk: Sphinx, with MyST for Markdown and for notebooks.

`make docs` builds it from the root of the repository, so that pages, notebooks and READMEs link to each other as they
do in a checkout.
"""

from pathlib import Path

import typer

from sim.cli.main import SECTIONS, app

ROOT = Path(__file__).parents[1]
project, author, html_title = "meltpoint", "", "meltpoint"
extensions = ["myst_nb"]
root_doc = "docs/index"
include_patterns = ["docs/**", "notebooks/*.ipynb", "README.md", "ARCHITECTURE.md", "*/README.md"]
exclude_patterns = ["build", "runs", ".*", "docs/ci", "docs/results", "tests"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3  # links to headings are checked too
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_mime_priority_overrides = [("html", "image/png", 0), ("html", "text/html", 10)]
html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sourcelink = html_copy_source = False
html_show_sphinx = html_show_copyright = False


def command_reference() -> str:
    """Every command with its options, as its own help has them."""
    page = ["# Commands", "`meltpoint COMMAND --help` says the same in a terminal. Wrong input ends with exit code 2."]
    group = typer.main.get_command(app)
    for title, names in SECTIONS.items():
        page.append(f"## {title}")
        for name in names:
            command = group.commands[name]
            family = getattr(command, "commands", None) or {"": command}
            for part, one in family.items():
                called = f"{name} {part}".strip()
                text = one.get_help(one.context_class(one, info_name=f"meltpoint {called}"))
                page += [f"### {called}", f"```text\n{text.strip()}\n```"]
    return "\n\n".join(page) + "\n"


(ROOT / "docs" / "reference" / "commands.md").write_text(command_reference(), encoding="utf-8")
