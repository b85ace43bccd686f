"""The report: what to do and why, then the figures and their sources; one HTML page, or Markdown."""

from dataclasses import replace

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from sim.report import review, words
from sim.report.answer import answer
from sim.report.answer_pages import RUN_OF_DECISION, RUN_OF_SIZE, decision_parts, multiple_parts, size_parts
from sim.report.blocks import Block, Lines, Part, markdown
from sim.report.origins import origins
from sim.report.pictures import compared
from sim.report.playbook_pages import details, in_brief, summary
from sim.report.promise_tables import promises_compared
from sim.report.ranking import configurations_table, fairness_table, gives_and_costs, other_costs, ranking
from sim.results.run import Run
from sim.results.verdict import Verdict, slice_sentences, verdict, warnings
from sim.studies.answer_folder import Answer
from sim.studies.choice import COVERS
from sim.studies.compare import Comparison
from sim.studies.decide import Decision
from sim.studies.demand_multiple import Multiple
from sim.studies.size import Size

SMALL = ["load", "latency"]  # the figures of each of many playbooks; those of one are drawn in full
ONE_PLAYBOOK = (
    "This is one run of one playbook. 'meltpoint compare' runs the others with the same people, and chooses one."
)
ONE_RUN = "One run with one seed: it says nothing about chance."
FULL = ["load", "queue", "latency", "power"]


def render(runs: list[Run], about: Comparison | Answer | None = None, verdicts: list[Verdict] | None = None) -> str:
    """One self-contained HTML page on a run, on several and how they compare, or on a size or decision.

    verdicts: on the runs, where they are known.
    """
    main, appendix = parts(runs, about, verdicts)
    return html(runs[0], main, appendix)


def render_markdown(runs: list[Run], about: Comparison | Answer | None = None) -> str:
    """The same report as Markdown, without its figures."""
    main, appendix = parts(runs, about)
    return as_markdown(runs[0], main, appendix)


def as_markdown(run: Run, main: list[Part], appendix: list[Part]) -> str:
    """These parts as Markdown, with the title and the time of a run."""
    return markdown(run.manifest, span(run), [*main, *appendix])


def html(run: Run, main: list[Part], appendix: list[Part]) -> str:
    """These parts as a page, with the title and the time of a run."""
    page = template("page.html.j2")
    return page.render(facts=run.manifest, span=span(run), main=main, appendix=appendix)


def template(name: str, *rooms: str) -> Template:
    """A template of this room or of others of the package; whatever comes from a file is only text on its page."""
    loader = ChoiceLoader([PackageLoader(room, "") for room in (*rooms, "sim.report")])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True).get_template(name)


def span(run: Run) -> str:
    """The time that was simulated, in words."""
    times = f"{words.instant(run, 0)} to {words.instant(run, run.horizon)} UTC ({words.seconds(run.horizon)})"
    return f"{times}, simulated. Counts, rates and costs are for the whole service."


def parts(
    runs: list[Run], about: Comparison | Answer | None, known: list[Verdict] | None = None
) -> tuple[list[Part], list[Part]]:
    """The report before its appendix, and the appendix. Raises ValueError for several runs without a comparison."""
    comparison = about if isinstance(about, Comparison) else None
    if not runs or (len(runs) > 1 and comparison is None):
        raise ValueError("a report needs one run, or several and their comparison")
    labels = [str(run.manifest["playbook"]) for run in runs]
    if comparison is not None and comparison.configurations:
        labels = list(comparison.configurations)
    verdicts = dict(zip(labels, known or map(verdict, runs), strict=True))
    if comparison is not None:
        verdicts = dict(sorted(verdicts.items(), key=lambda one: comparison.ranking.index(one[0])))
    chosen = next(iter(verdicts.values()))
    first, covers = first_parts(about, verdicts, runs)
    main = [*first, *sections(chosen, comparison), review.risks(gathered(verdicts, warnings(chosen)), covers)]
    return with_few_gpus(main, chosen.run), appendix(verdicts, comparison)


def first_parts(
    about: Comparison | Answer | None, verdicts: dict[str, Verdict], runs: list[Run]
) -> tuple[list[Part], list[str]]:
    """The parts before the sections on the run that is chosen, which is the first, and what no run here covers."""
    chosen = next(iter(verdicts.values()))
    if about is None:
        return [in_brief(chosen, "answer", "The verdict", ONE_PLAYBOOK)], [ONE_RUN, review.OTHER_RUNS]
    if isinstance(about, Comparison):
        main = [answer(about, chosen, verdicts[about.baseline]), beside(about, runs)]
        return main, [COVERS, review.OTHER_RUNS]
    if isinstance(about, Decision):
        return decision_parts(about, chosen.run), [RUN_OF_DECISION]
    sizes = [one for one in about if isinstance(one, Size)]
    multiples = [one for one in about if isinstance(one, Multiple)]
    return size_parts(sizes, chosen.run) if sizes else multiple_parts(multiples), [RUN_OF_SIZE]


def with_few_gpus(main: list[Part], run: Run) -> list[Part]:
    """The parts, with a warning right below the answer where the slice has so few GPUs that its figures may mislead."""
    few = slice_sentences(run.manifest)[1:]
    first, *rest = main
    answered, *others = first.blocks
    return [replace(first, blocks=[answered, Lines(few, "warnings"), *others]), *rest] if few else main


def beside(comparison: Comparison, runs: list[Run]) -> Part:
    """The playbooks, or configurations, in their order, with what each gives and costs."""
    blocks: list[Block] = [ranking(comparison), compared(comparison, every=False)]
    if comparison.configurations:
        blocks.append(configurations_table(comparison, runs))
    title = f"{comparison.noun.capitalize()}s compared"
    return Part("ranking", title, [*blocks, *promises_compared(comparison), gives_and_costs(comparison)], fresh=True)


def sections(v: Verdict, comparison: Comparison | None) -> list[Part]:
    """The short sections on the playbook that is chosen, or on the only one."""
    return [
        review.volume(v),
        review.users(v),
        review.switches(v),
        review.money(v, comparison),
        review.fair(v, comparison),
    ]


def appendix(verdicts: dict[str, Verdict], comparison: Comparison | None) -> list[Part]:
    """A page for each playbook, then all tables, then the origins of the figures."""
    said = warnings(next(iter(verdicts.values())))  # among the risks
    noun = "Playbook" if comparison is None else comparison.noun.capitalize()
    pages, full = [], []
    for n, (name, v) in enumerate(verdicts.items(), 1):
        pages.append(summary(v, f"{noun} {name}", f"run-{n}", said))
        full.append(details(v, f"{noun} {name}", f"tables-{n}", FULL if n == 1 else SMALL))
    every: list[Block] = []
    if comparison is not None:
        every = [compared(comparison, every=True), other_costs(comparison), fairness_table(comparison)]
    return [
        Part("playbooks", "Appendix: each playbook" if len(verdicts) > 1 else "Appendix: the playbook"),
        *pages,
        Part("tables", "Appendix: all figures and tables", every, fresh=True),
        *full,
        sources_part([v.run for v in verdicts.values()]),
    ]


def sources_part(runs: list[Run]) -> Part:
    return Part("origins", "Appendix: where the figures come from", origins(runs), fresh=True)


def gathered(verdicts: dict[str, Verdict], said: list[str]) -> list[str]:
    """These warnings, with their playbooks unless they concern all of them."""
    found = []
    for warning in said:
        concerned = [name for name, v in verdicts.items() if warning in warnings(v)]
        found.append(warning if len(concerned) == len(verdicts) else f"{warning} (playbook {', '.join(concerned)})")
    return found
