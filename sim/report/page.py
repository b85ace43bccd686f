"""The report: what to do and why, then the figures and their sources; one HTML page, or Markdown."""

from dataclasses import replace
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from sim.report import review, words
from sim.report.answer import answer
from sim.report.answer_pages import RUN_OF_DECISION, RUN_OF_SIZE, decision_parts, multiple_parts, size_parts
from sim.report.blocks import Block, Boxes, Lines, Part, Tabled
from sim.report.markdown import markdown
from sim.report.origins import origins
from sim.report.pictures import compared
from sim.report.playbook_pages import badge, details, highlights, summary
from sim.report.ranking import (
    configurations_table,
    fairness_table,
    gives_and_costs,
    other_costs,
    ranking,
    ranking_of_runs,
)
from sim.results.run import Run
from sim.results.verdict import Verdict, headline, slice_sentences, verdict, warnings
from sim.studies.answer_folder import Answer
from sim.studies.choice import COVERS
from sim.studies.compare import Comparison
from sim.studies.decide import Decision
from sim.studies.size import Size
from sim.writing import write_bytes

SMALL = ["load", "latency"]  # the figures of each of many playbooks; those of one are drawn in full
ONE_RUN = "One run with one seed: it says nothing about chance."
FULL = ["load", "queue", "latency", "power"]


def render(runs: list[Run], about: Comparison | Answer | None = None) -> str:
    """One self-contained HTML page on a run, on several and how they compare, or on a size or decision."""
    return html(runs[:1], *parts(runs, about))


def render_markdown(runs: list[Run], about: Comparison | Answer | None = None) -> str:
    """The same report as Markdown, without its figures."""
    main, appendix = parts(runs, about)
    return markdown(runs[0].manifest, span(runs[0]), [*main, *appendix])


def html(runs: list[Run], main: list[Part], appendix: list[Part]) -> str:
    """A page of these parts; its title and its time are those of the first run."""
    environment = Environment(
        loader=PackageLoader("sim.report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("page.html.j2")
    return page.render(facts=runs[0].manifest, span=span(runs[0]), main=main, appendix=appendix)


def span(run: Run) -> str:
    """The time that was simulated, in words."""
    times = f"{words.instant(run, 0)} to {words.instant(run, run.horizon)} UTC ({words.seconds(run.horizon)})"
    return f"{times}, simulated. Counts, rates and costs are for the whole service."


def parts(runs: list[Run], about: Comparison | Answer | None) -> tuple[list[Part], list[Part]]:
    """The report before its appendix, and the appendix."""
    if not runs:
        raise ValueError("a report needs at least one run")
    if about is not None and not isinstance(about, Comparison):
        return of_answer(runs[0], about)
    comparison = about
    configurations = list(comparison.configurations) if comparison else []
    names = configurations or section_names(runs)
    compared_as = configurations or [str(run.manifest["playbook"]) for run in runs]
    verdicts = [verdict(run) for run in runs]
    places = [comparison.ranking.index(label) for label in compared_as] if comparison else list(range(len(runs)))
    order = sorted(range(len(runs)), key=places.__getitem__)
    verdicts, names = [verdicts[place] for place in order], [names[place] for place in order]
    chosen = verdicts[0]
    if comparison is not None:
        baseline = verdicts[[compared_as[place] for place in order].index(comparison.baseline)]
        main = [answer(comparison, chosen, baseline), beside(comparison, runs), *sections(chosen, comparison)]
    elif len(runs) == 1:
        main = [one_answer(chosen), *sections(chosen, None)]
    else:
        main = [Part("ranking", "Playbooks compared", [Tabled(ranking_of_runs(verdicts, names))])]
    covers = [COVERS if comparison is not None else ONE_RUN, review.OTHER_RUNS]
    main.append(review.risks(gathered(verdicts, names, warnings(chosen)), covers))
    return with_few_gpus(main, chosen.run), appendix(verdicts, names, comparison)


def of_answer(run: Run, about: Answer) -> tuple[list[Part], list[Part]]:
    """The report of a size or a decision: its own first parts, then the sections on the run that it keeps."""
    v, covers = verdict(run), RUN_OF_SIZE
    if isinstance(about, Decision):
        main, covers = decision_parts(about, run), RUN_OF_DECISION
    elif isinstance(about[0], Size):
        main = size_parts([one for one in about if isinstance(one, Size)], run)
    else:
        main = multiple_parts([one for one in about if not isinstance(one, Size)])
    names = [str(run.manifest["playbook"])]
    main += [*sections(v, None), review.risks(gathered([v], names, warnings(v)), [covers])]
    return with_few_gpus(main, run), appendix([v], names, None)


def with_few_gpus(main: list[Part], run: Run) -> list[Part]:
    """The parts, with a warning right below the answer where the slice has so few GPUs that its figures may mislead."""
    few = slice_sentences(run.manifest)[1:]
    first, *rest = main
    answered, *others = first.blocks
    return [replace(first, blocks=[answered, Lines(few, "warnings"), *others]), *rest] if few else main


def one_answer(v: Verdict) -> Part:
    """The first screen of a report on one run: how it went, and how to learn what to do about it."""
    how = "This is one run of one playbook. 'meltpoint compare' runs the others with the same people, and chooses one."
    return Part("answer", "The verdict", [Lines([headline(v)], "answer"), Boxes(highlights(v)), Lines([how])], badge(v))


def beside(comparison: Comparison, runs: list[Run]) -> Part:
    """The playbooks, or configurations, in their order, with what each gives and costs."""
    blocks: list[Block] = [Tabled(ranking(comparison)), compared(comparison, every=False)]
    if comparison.configurations:
        blocks.append(Tabled(configurations_table(comparison, runs)))
    title = f"{comparison.noun.capitalize()}s compared"
    return Part("ranking", title, [*blocks, Tabled(gives_and_costs(comparison))], fresh=True)


def sections(v: Verdict, comparison: Comparison | None) -> list[Part]:
    """The short sections on the playbook that is chosen, or on the only one."""
    return [
        review.volume(v),
        review.users(v),
        review.switches(v),
        review.money(v, comparison),
        review.fair(v, comparison),
    ]


def appendix(verdicts: list[Verdict], names: list[str], comparison: Comparison | None) -> list[Part]:
    """A page for each playbook, then all tables, then the origins of the figures."""
    said = warnings(verdicts[0])  # among the risks
    noun = "Playbook" if comparison is None else comparison.noun.capitalize()
    titles = [f"{noun} {name}" for name in names]
    pages = [summary(v, title, f"run-{n}", said) for n, (v, title) in enumerate(zip(verdicts, titles, strict=True), 1)]
    full = [
        details(v, title, f"tables-{n}", [*FULL] if n == 1 else SMALL)
        for n, (v, title) in enumerate(zip(verdicts, titles, strict=True), 1)
    ]
    every: list[Block] = []
    if comparison is not None:
        every = [compared(comparison, every=True), *(Tabled(of(comparison)) for of in (other_costs, fairness_table))]
    tables: list[Block] = [Tabled(table) for table in origins([v.run for v in verdicts])]
    return [
        Part("playbooks", "Appendix: each playbook" if len(names) > 1 else "Appendix: the playbook", []),
        *pages,
        Part("tables", "Appendix: all figures and tables", every, fresh=True),
        *full,
        Part("origins", "Appendix: where the figures come from", tables, fresh=True),
    ]


def gathered(verdicts: list[Verdict], names: list[str], said: list[str]) -> list[tuple[str, str]]:
    """These warnings, with their playbooks unless they concern all of them."""
    concerned: dict[str, list[str]] = {warning: [] for warning in said}
    for v, name in zip(verdicts, names, strict=True):
        for warning in warnings(v):
            if warning in concerned:
                concerned[warning].append(name)
    return [
        (warning, "" if len(of) == len(names) else "playbook " + ", ".join(of)) for warning, of in concerned.items()
    ]


def write(page: str, path: Path) -> Path:
    """Write the page, all of it or nothing; gives back the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bytes(page.encode("utf-8", errors="replace"), path)


def section_names(runs: list[Run]) -> list[str]:
    """The playbook of each run, with the seed where a playbook comes more than once."""
    playbooks = [str(run.manifest["playbook"]) for run in runs]
    if len(set(playbooks)) == len(playbooks):
        return playbooks
    return [f"{name}, seed {run.manifest['seed']}" for name, run in zip(playbooks, runs, strict=True)]
