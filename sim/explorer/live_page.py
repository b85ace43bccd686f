"""The live page: sliders on two sides, and what each gives, in pictures that are updated in place (Panel, Bokeh)."""

import math
import socket
from collections.abc import Mapping
from functools import partial
from html import escape
from io import BytesIO, StringIO
from typing import Any
from urllib.parse import urlencode

import panel as pn
import yaml
from bokeh.models import ColumnDataSource, CustomJSTickFormatter, Legend, LegendItem
from bokeh.plotting import figure

from sim.errors import BadInput
from sim.explorer.answers import REFINED, Answer, answer
from sim.explorer.latest import Latest
from sim.explorer.settings import SIDES, Chosen, Setting, difference_in_words, read, settings_of, written
from sim.plots.axes import BLUE, GREY, ORANGE, PURPLE, SKY, VERMILLION, YELLOW
from sim.report import render
from sim.results.cohort import IN_TIME, IN_TIME_DEGRADED, LATE, LEFT, REFUSED, UNFINISHED, WANTED
from sim.results.intents import LOST
from sim.scenario.scenario import Scenario

COLOURS = {"a": BLUE, "b": VERMILLION}
DASHES = {"a": "solid", "b": "dashed"}
PARTS = {
    IN_TIME: BLUE, IN_TIME_DEGRADED: SKY, LATE: ORANGE, REFUSED: YELLOW, LEFT: VERMILLION, LOST: VERMILLION,
    UNFINISHED: PURPLE,
}  # fmt: skip
TEMPLATE = """{% extends base %}
{% block postamble %}<meta name="viewport" content="width=device-width, initial-scale=1">{% endblock %}
{% block contents %}<style>body { margin: 0; } main { padding: 8px 14px; }</style>
<main>{{ embed(roots.main) }}</main>{{ embed(roots.location) }}{% endblock %}"""
TICK = """for (const [size, mark] of [[1e9, " bn"], [1e6, " M"], [1e3, " k"]]) {
  if (Math.abs(tick) >= size) return Number((tick / size).toPrecision(3)) + mark;
}
return String(Number(tick.toPrecision(3)));"""
BELOW: dict[str, Any] = {
    "orientation": "horizontal", "location": "left", "margin": 2, "padding": 2, "border_line_alpha": 0, "spacing": 12,
}  # fmt: skip
STYLE = """
:host { font-size: 15px; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 0 0 .2rem; } p { margin: .2rem 0; }
.soft { color: #5b6570; font-size: .85rem; } .answer { font-weight: 650; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; white-space: nowrap; padding: .3rem .5rem; border-bottom: 1px solid #dde1e6; }
tr > :first-child { text-align: left; white-space: normal; }
.warn { background: #fff6df; border-left: 6px solid #e69f00; padding: .5rem .8rem; border-radius: 6px; }
"""


class LivePage:
    """One visitor's page."""

    def __init__(self, scenario: Scenario, worker: Latest, query: str):
        self.scenario, self.worker = scenario, worker
        self.sides, problems = read(scenario, query)
        self.answers: dict[str, Answer] = {}
        self.failed: dict[str, str] = {}
        self.document = pn.state.curdoc
        self.problems = html("".join(f'<p class="warn">{escape(text)}</p>' for text in problems))
        self.settings = {side: pn.Column(sizing_mode="stretch_width") for side in SIDES}
        self.said = {side: html("") for side in SIDES}
        self.lines = {
            side: ColumnDataSource(data=dict.fromkeys(("time", "wanted", "served", "queue"), ())) for side in SIDES
        }
        self.parts = ColumnDataSource(data={"side": [], **{part: [] for part in PARTS}})
        self.table = html("")

    def shown(self) -> Any:
        """The whole page; the first pictures are asked for."""
        for side in SIDES:
            self.lay_out(side)
            self.ask(side)
        tabs = pn.Tabs(
            *[(f"Setting {side.upper()}", self.settings[side]) for side in SIDES],
            dynamic=False,
            sizing_mode="stretch_width",
        )
        head = f"<h1>{escape(self.scenario.title)}</h1><p>{escape(self.scenario.question)}</p>"
        how = "A and B meet the same people where their demand is the same. Counts and money are for the whole service."
        left = pn.Column(tabs, self.buttons(), width=350, styles={"flex": "1 1 320px", "max-width": "480px"})
        right = pn.Column(
            pn.FlexBox(*[pn.Column(self.said[side], styles={"flex": "1 1 300px"}) for side in SIDES]),
            self.bars(),
            self.over_time("requests a second", ("wanted", "served")),
            self.over_time("requests waiting", ("queue",)),
            self.table, styles={"flex": "3 1 340px", "min-width": "0"},
        )  # fmt: skip
        body = pn.FlexBox(left, right, align_items="flex-start", gap="16px", sizing_mode="stretch_width")
        made = pn.Template(TEMPLATE, location=True)
        whole = pn.Column(html(f'{head}<p class="soft">{how}</p>'), self.problems, body, sizing_mode="stretch_width")
        made.add_panel("main", whole)
        return made

    def lay_out(self, side: str) -> None:
        """The sliders of one side, which depend on its playbook."""
        select = pn.widgets.Select(
            name="playbook", options=list(self.scenario.playbooks), value=self.sides[side].playbook
        )
        select.param.watch(partial(self.playbook_moved, side), "value")
        sliders = [self.slider(side, setting) for setting in settings_of(self.scenario, self.sides[side].playbook)]
        self.settings[side][:] = [select, *sliders]

    def slider(self, side: str, setting: Setting) -> Any:
        value = self.sides[side].values.get(setting.key, setting.own)
        options = {label: one for one, label in setting.with_value(value).values.items()}
        made = pn.widgets.DiscreteSlider(name=setting.title, options=options, value=value, sizing_mode="stretch_width")
        made.param.watch(partial(self.moved, side, setting), "value")
        return made

    def playbook_moved(self, side: str, event: Any) -> None:
        known = {setting.key for setting in settings_of(self.scenario, event.new)}
        self.sides[side] = Chosen(event.new, {k: v for k, v in self.sides[side].values.items() if k in known})
        self.lay_out(side)
        self.changed(side)

    def moved(self, side: str, setting: Setting, event: Any) -> None:
        values = {key: value for key, value in self.sides[side].values.items() if key != setting.key}
        if event.new != setting.own:
            values[setting.key] = event.new
        self.sides[side] = Chosen(self.sides[side].playbook, values)
        self.changed(side)

    def changed(self, side: str) -> None:
        self.problems.object = ""
        if pn.state.location is not None:
            pn.state.location.search = written(self.sides)
        self.ask(side)

    def ask(self, side: str) -> None:
        """Wish for the answer of a side, in place of an earlier wish."""
        self.said[side].object = self.verdict(side, "simulating ...")
        self.worker.ask((id(self), side), (self.scenario, self.sides[side]), partial(self.arrived, side))

    def arrived(self, side: str, wish: Any, stage: int, result: Any) -> None:
        """Take an answer from the worker's thread to the page's."""
        if self.document is not None:
            self.document.add_next_tick_callback(partial(self.show, side, wish[1], stage, result))

    def show(self, side: str, wished: Chosen, stage: int, result: Any) -> None:
        """Update the pictures of a side in place, unless it has moved on."""
        if wished != self.sides[side]:
            return
        if not isinstance(result, Answer):
            why = f"this run failed ({type(result).__name__})"
            if isinstance(result, BadInput):
                why = f"{result.message}. Expected: {result.expected}"
            self.answers.pop(side, None)
            self.said[side].object = self.verdict(side, why)
            return
        self.answers[side] = result
        more = "" if stage >= REFINED else " This is a first picture; a better one is on its way."
        self.said[side].object = self.verdict(side, result.slice_in_words + more, result.sentence)
        self.lines[side].data = dict(result.over_time)
        there = {s: self.answers[s].cohort for s in SIDES if s in self.answers}
        shares = {p: [100 * c.get(p, 0.0) / max(c[WANTED], 1e-300) for c in there.values()] for p in PARTS}
        self.parts.data = {"side": [s.upper() for s in there], **shares}
        self.table.object = table({s: self.answers[s] for s in there})

    def verdict(self, side: str, note: str, sentence: str = "") -> str:
        mark = f'style="border-left: 6px {DASHES[side]} {COLOURS[side]}; padding-left: .6rem"'
        what = escape(difference_in_words(self.scenario, self.sides[side]))
        said = f'<p class="answer">{escape(sentence)}</p>' if sentence else ""
        head = f"<h2>{side.upper()}: {what}</h2>"
        return f'<div {mark} aria-live="polite">{head}{said}<p class="soft">{escape(note)}</p></div>'

    def bars(self) -> Any:
        """What became of the requests of each side."""
        made = figure(
            y_range=["B", "A"], x_range=(0, 100), height=170, sizing_mode="stretch_width",
            toolbar_location=None, tools="",
            title="What became of the requests, %",
        )  # fmt: skip
        drawn = made.hbar_stack(
            list(PARTS), y="side", height=0.6, color=list(PARTS.values()), source=self.parts, line_color="white"
        )
        shown = [
            (part, bar) for part, bar in zip(PARTS, drawn, strict=True) if part not in (REFUSED, LEFT, IN_TIME_DEGRADED)
        ]
        made.add_layout(Legend(items=[LegendItem(label=p, renderers=[b]) for p, b in shown], **BELOW), "below")
        return pn.pane.Bokeh(made, sizing_mode="stretch_width")

    def over_time(self, title: str, what: tuple[str, ...]) -> Any:
        """Lines over time: wanted in grey, each side in its colour and dash."""
        made = figure(
            x_axis_type="datetime", height=220, sizing_mode="stretch_width", toolbar_location=None, tools="",
            title=f"{title[0].upper()}{title[1:]} (UTC)",
        )  # fmt: skip
        items = []
        for side in SIDES:
            for name in what:
                plain = name == "wanted"
                line = made.line(
                    "time", name, source=self.lines[side], color=GREY if plain else COLOURS[side],
                    line_dash=DASHES[side],
                    line_width=1 if plain else 2,
                )  # fmt: skip
                label = name if plain else f"{side.upper()} {'waiting' if name == 'queue' else name}"
                items += [LegendItem(label=label, renderers=[line])] if not plain or side == SIDES[0] else []
        made.y_range.start = 0
        made.yaxis.formatter = CustomJSTickFormatter(code=TICK)
        made.add_layout(Legend(items=items, **BELOW), "below")
        return pn.pane.Bokeh(made, sizing_mode="stretch_width")

    def buttons(self) -> Any:
        """The scenario of each side as a file, and its report."""
        made = []
        for side in SIDES:
            for what, kind, make in (("Scenario", "yaml", self.yaml), ("Report", "html", self.report)):
                label, name = f"{what} {side.upper()} ({kind.upper()})", f"setting-{side}.{kind}"
                made.append(pn.widgets.FileDownload(callback=partial(make, side), filename=name, label=label))
        return pn.FlexBox(*made)

    def yaml(self, side: str) -> StringIO:
        return StringIO(yaml_text(self.scenario, self.sides[side]))

    def report(self, side: str) -> BytesIO:
        """The report of the run that is shown; before there is one, a page that says so."""
        found = self.answers.get(side)
        none = "<!doctype html><title>no run</title><p>This setting has no run yet.</p>"
        page = render([found.run]) if found else none
        return BytesIO(page.encode("utf-8", errors="replace"))


def yaml_text(scenario: Scenario, side: Chosen) -> str:
    """A side as a scenario file: its values, its playbook first; paths in it are relative to the scenario's folder."""
    document = side.applied(scenario).document
    books = document.get("playbooks") or {}
    if side.playbook in books:
        document["playbooks"] = {side.playbook: books[side.playbook], **books}
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


def html(text: str) -> Any:
    return pn.pane.HTML(text, stylesheets=[STYLE], sizing_mode="stretch_width", margin=(4, 4))


def table(answers: Mapping[str, Answer]) -> str:
    """The figures of the sides beside each other, as HTML."""
    head = "".join(f'<th scope="col">{side.upper()}</th>' for side in answers)
    rows = []
    for parts in zip(*(one.rows for one in answers.values()), strict=True):
        if all(number == 0 or math.isnan(number) for _, number, _ in parts):
            continue
        texts = "".join(f"<td>{escape(text)}</td>" for _, _, text in parts)
        rows.append(f'<tr><th scope="row">{escape(parts[0][0])}</th>{texts}</tr>')
    top = f'<thead><tr><th scope="col">of the whole service</th>{head}</tr></thead>'
    return f"<table>{top}<tbody>{''.join(rows)}</tbody></table>"


def work(wish: tuple[Scenario, Chosen], stage: int, go_on: Any) -> Answer | None:
    """What the worker does with a wish of a page."""
    return answer(*wish, stage, go_on)


def server(scenario: Scenario, port: int) -> tuple[Any, Latest]:
    """A server of the page on this computer's loopback address, not yet started, and its worker.

    Everything comes from it: no page loads anything from another host. Raises OSError where the port is taken.
    """
    worker = Latest(work)

    def page() -> Any:
        given = pn.state.session_args
        pairs = [(name, part.decode("utf-8", "replace")) for name, parts in given.items() for part in parts]
        return LivePage(scenario, worker, query_of(pairs)).shown()

    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]  # named among the origins, so that no other site's page can open a session
    origins = [f"{host}:{port}" for host in ("localhost", "127.0.0.1")]
    made = pn.io.server.get_server(
        page, port=port, address="127.0.0.1", websocket_origin=origins, title=f"{scenario.title} - what if - meltpoint"
    )
    return made, worker


def query_of(pairs: list[tuple[str, str]]) -> str:
    """The part of an address that holds these settings; Bokeh's own arguments are left out."""
    return urlencode([pair for pair in pairs if not pair[0].startswith("bokeh-")])
