"""The report is one safe, self-contained page whose figures are those of the run, at full scale."""

import base64
import dataclasses
import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pandas as pd
import pytest

from sim import BadInput, load, simulate
from sim.cli.places import write_page
from sim.policies.access import Waitlist
from sim.policies.limits import RateLimit
from sim.policies.playbook import Timed
from sim.policies.shedding import QueueBound
from sim.profile.profile import profile_from
from sim.report import render, tables, words
from sim.report.page import parts
from sim.report.ranking import ranking
from sim.results.metrics import outcomes
from sim.results.run import Run
from sim.results.verdict import sentences, verdict
from sim.scenario.fields import UNLIMITED
from sim.scenario.scenario import Scenario
from sim.studies.compare import Comparison, against_unlimited
from sim.studies.differences import differences as paired
from sim.studies.objectives import OBJECTIVES
from sim.studies.run_record import record_of
from sim.wording import amount

ATTACK = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "link"}
SETS = {
    "demand.0.rate": "6 per second",
    "pools.gpus.gpus": 10,
    "horizon": "1 hour",
    "behaviour.patience": {"kind": "exponential", "mean": "60 s"},
    "serving.notices_leaving": True,
    "tiers": {"free": {"share": 0.8}, "pro": {"share": 0.2}},
    "scale": "1/2",
}


class Page(HTMLParser):
    """What a browser would see: tags with attributes, the text, and whether every tag is closed."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def run() -> Run:
    policies = [
        Timed(RateLimit(rate="1 per minute", tiers=["free"]), 600.0),
        Timed(QueueBound(requests=100)),
        Timed(Waitlist(rate="5 per second"), 1800.0),
    ]
    return simulate(load("steady", sets=SETS), policies)


@pytest.fixture(scope="module")
def html(run) -> str:
    return render([run])


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def hostile_run() -> Run:
    """A run of a scenario in which every name and source tries to break out of the page."""
    document = {
        "title": ATTACK,
        "question": f"why {ATTACK}?",
        "horizon": "10 min",
        "tiers": {ATTACK: {"share": 1}},
        "features": {
            f'"><img src=x onerror=alert(1)>{ATTACK}': {
                "share": 1,
                "pool": f"'{ATTACK}",
                "slo": "10 s",
                "spec": {"model": f"{{{{ 7 * 7 }}}}{ATTACK}", "steps": 28},
            }
        },
        "pools": {f"'{ATTACK}": {"gpus": 2}},
        "demand": [{"kind": "steady", "rate": "1 per second", "name": ATTACK}],
        "playbooks": {ATTACK: [{"policy": {"kind": "shed", "share": 0.5}, "from": "2 min"}]},
    }
    profile = profile_from(
        {
            "format": "meltpoint-profile/1",
            "name": f"{{{{ 7 * 7 }}}}{ATTACK}",
            "model": ATTACK,
            "feature": "image",
            "provenance": "assumed",
            "source": f"javascript:alert(1) {ATTACK}",
            "method": ATTACK,
            "date": ATTACK,
            "precision": ATTACK,
            "hardware": {"gpu": ATTACK, "idle_power_source": ATTACK},
            "points": [{"side": 1024, "steps": 28, "batch": 1, "latency_s": {"p50": 1.5}}],
        }
    )
    return simulate(Scenario.from_dict(document, profiles={profile.name: profile}))


def comparison(*runs: Run) -> Comparison:
    """These runs compared, against an unlimited fleet that gives a million images."""
    records = [record_of(run) for run in runs]
    labels = [{"playbook": run.manifest["playbook"], "seed": run.manifest["seed"]} for run in runs]
    found = [{**label, **record.figures} for label, record in zip(labels, records, strict=True)]
    seeds = sorted({row["seed"] for row in found})
    free = [{**found[0], "playbook": UNLIMITED, "seed": seed, "images_worth": 1e6, "kept": 1e6} for seed in seeds]
    table = against_unlimited(pd.DataFrame([*found, *free]), grows=False)
    names = list(dict.fromkeys(table["playbook"]))
    fair = pd.DataFrame([{**group, **label} for label, r in zip(labels, records, strict=True) for group in r.groups])
    rows = paired(table, names, OBJECTIVES["images"])
    return Comparison(table, rows, names, seeds, names[0], fair)


@pytest.fixture(scope="module")
def two_playbooks() -> list[Run]:
    """Three seeds, one after another, of two playbooks."""
    sets = {**SETS, "playbooks": {"none": [], "bound": [{"policy": {"kind": "queue bound", "requests": 20}}]}}
    scenario = load("steady", sets=sets)
    return [simulate(scenario, name, seed=seed) for seed in (1, 2, 3) for name in ("none", "bound")]


def test_the_page_needs_nothing_but_itself(page):
    assert not page.all("script")
    assert not page.all("link")
    assert all(attributes["src"].startswith("data:image/svg+xml;base64,") for attributes in page.all("img"))
    assert all(attributes["href"].startswith("#") for attributes in page.all("a"))
    assert any("default-src 'none'" in str(attributes.get("content")) for attributes in page.all("meta"))


def test_the_page_can_be_read_without_seeing_it(page):
    assert page.all("html")[0]["lang"] == "en-GB"
    assert [tag for tag, _ in page.tags if tag == "h1"] == ["h1"]
    assert len(page.all("img")) == 8
    assert all(len(attributes["alt"]) > 40 for attributes in page.all("img"))
    assert all("scope" in attributes for attributes in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert {attributes["href"][1:] for attributes in page.all("a")} <= set(ids)
    assert len(ids) == len(set(ids))


def test_the_page_says_what_the_verdict_says(run, page):
    for sentence in sentences(verdict(run)):
        assert " ".join(sentence.split()) in page.text


def test_all_that_a_reader_may_look_for_is_there(page):
    for words_ in (
        "Do the numbers come out as arithmetic says?",
        "A slice of 1/2",
        "Served requests only",
        "All requests",
        "Refused attempts, by reason",
        "rate limit",
        "What GPU time was spent on",
        "GPU-hours",
        "CO2e",
        "Signups",
        "Decisions",
        "The run is one window, of",
        "where the figures come from",
        "behaviour.patience",
        "set in the scenario",
        "footprint.pue",
        "pools.gpus.dollars_per_gpu_hour",
        "two-seconds",
        "numpy",
        "simpy",
    ):
        assert words_ in page.text


def test_requests_are_counted_at_full_scale(run):
    rows = tables.requests(verdict(run)).rows
    expected = outcomes(run, "tier")
    for name, row in zip(expected.index, rows, strict=False):
        assert row[0] == name
        assert row[3] == amount(expected.loc[name, "intents"] / run.scale)
    assert rows[-1][:2] == ["all", "all"]
    assert rows[-1][3] == amount(expected["intents"].sum() / run.scale)


def test_served_and_all_requests_are_never_in_one_table(run):
    served, everyone = tables.latency_tables(verdict(run))
    assert served.caption.startswith("Served requests only")
    assert everyone.caption.startswith("All requests")
    assert [row[0] for row in everyone.rows] == ["free", "pro", "all"]
    assert "never" in {cell for row in everyone.rows for cell in row}
    assert "never" not in {cell for row in served.rows for cell in row}


def test_decisions_speak_of_the_whole_service(run):
    rows = tables.decisions(verdict(run)).rows
    everybody = "all tiers; all features"
    assert ["Wed 01 Jan 2025 00:00", "queue bound", "queue", everybody, "no limit", "100 requests"] in rows
    assert ["Wed 01 Jan 2025 00:30", "waitlist", "signup rate", "newcomers", "no limit", "432 k people a day"] in rows
    assert ["Wed 01 Jan 2025 00:10", "rate limit", "rate", "free; all features", "no limit", "1 per minute"] in rows


def test_nothing_from_a_file_becomes_markup():
    html = render([hostile_run()])
    page = Page(html)
    assert "<script" not in html.lower()
    assert not page.all("script")
    assert all(set(attributes) == {"src", "alt"} for attributes in page.all("img"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert ATTACK in page.text
    assert "{{ 7 * 7 }}" in page.text
    for attributes in page.all("img"):
        drawn = ElementTree.fromstring(base64.b64decode(attributes["src"].partition(",")[2]))
        assert not [node for node in drawn.iter() if node.tag.endswith("script")]


def test_a_hostile_playbook_is_only_text_in_the_ranking_too():
    hostile = hostile_run()
    html = render([hostile], comparison(hostile))
    assert "<script" not in html.lower()
    assert ATTACK in Page(html).text


@pytest.mark.parametrize("rate", ["0 per day", "1 per second"])
def test_a_missing_number_is_a_word(rate):
    quiet = simulate(load("steady", sets={"demand.0.rate": rate}))
    text = Page(render([quiet], comparison(quiet))).text
    assert not re.findall(r"\b(nan|NaN|None|inf|nat|NaT)\b", text)
    assert "never" in text


def test_several_runs_open_with_a_ranking_and_have_a_section_each(two_playbooks):
    runs, compared = two_playbooks[:2], comparison(*two_playbooks[:4])
    html = render(runs, compared)
    assert len(html) < 450_000  # ten playbooks take less than 2 MB
    page = Page(html)
    headings = re.findall(r"Playbooks compared|Playbook none|Playbook bound", page.text)
    best, other = compared.ranking
    assert headings[:3] == ["Playbooks compared", f"Playbook {best}", f"Playbook {other}"]  # the table of contents
    assert page.text.index("Ranked by images in time") < page.text.rindex("Playbook none")
    assert "Two seeds, so there are no intervals" in page.text
    assert "baseline" in page.text
    assert len(page.all("img")) == 13
    assert page.text.count("A slice of 1/2 of people") == 1


def test_the_ranking_lists_the_best_first_with_intervals(two_playbooks):
    ranked = comparison(*two_playbooks)
    rows = ranking(ranked).rows
    assert [row[1] for row in rows] == list(dict.fromkeys(ranked.differences["playbook"]))
    assert re.fullmatch(r"[\d.]+ %\n\([\d.]+ to [\d.]+\)", rows[0][3])
    assert re.fullmatch(r"(\+|-)[\d.]+ points\n\(.+ to .+\)", rows[0][4])


def test_several_runs_need_their_comparison(two_playbooks):
    with pytest.raises(ValueError, match="their comparison"):
        render(two_playbooks[:2])


def test_the_same_runs_give_the_same_page(run, html):
    assert render([run]) == html


def test_a_page_is_written_whole_over_an_old_one(tmp_path):
    path = tmp_path / "new folder" / "report.html"
    write_page("first", path)
    assert write_page("secönd", path) == path
    assert path.read_text(encoding="utf-8") == "secönd"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_few_gpus_of_a_small_slice_are_named_on_the_first_screen_of_every_report(run):
    """The slice has 5 of 10 GPUs; of the whole service nothing is said."""
    for about in (None, comparison(run)):
        assert "FEW GPUS" in parts([run], about)[0][0].blocks[1].sentences[0]
    whole = dataclasses.replace(run, manifest={**run.manifest, "scale": 1.0})
    assert "FEW GPUS" not in str(parts([whole], None)[0][0])


def test_a_manifest_without_a_readable_scenario_is_named(run):
    broken = {**run.manifest, "scenario": {"behaviour": {"patience": "long"}}}
    with pytest.raises(BadInput, match="behaviour"):
        render([dataclasses.replace(run, manifest=broken)])


def test_no_runs_make_no_report():
    with pytest.raises(ValueError, match="needs one run"):
        render([])


def test_numbers_become_words():
    assert words.count(math.nan) == "none"
    assert words.count(None) == "none"
    assert words.count(math.inf) == "unlimited"
    assert words.seconds(math.inf) == "never"
    assert words.known(math.nan, " MWh") == "not known"
    assert words.interval(0.5, math.nan, math.nan, "share") == "50 %"
    assert words.interval(0.5, 0.4, 0.6, "share") == "50 %\n(40 to 60)"
    assert words.interval(0.1, 0.05, 0.15, "share", signed=True) == "+10 points\n(+5 to +15)"
    assert words.interval(math.inf, math.nan, math.nan) == "never"
