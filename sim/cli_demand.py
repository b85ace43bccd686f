"""The commands about demand: fit a curve to counts, import recordings, check generated against recorded, export."""

import typer

demand_app = typer.Typer(
    help="Signups and requests: fit curves to data, import recordings, compare with them, export schedules.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
