"""Whether a calibration finds the parameters that made a log, and how often its 95 % intervals hold them."""

import math
import tempfile
from pathlib import Path

from scipy import stats

from sim.calibration.calibrate import calibrate
from sim.engine.parallel import Progress
from sim.validation.study import Row, Study
from tests.calibrated import SIZED, TRUE, WORDY, known_service, log_of, sized_log, written_log
from tests.studies.known import CALIBRATE

LOGS = 12
FEWEST = int(stats.binom.ppf(0.005, LOGS, 0.95))  # of all intervals, how many hold the truth if each does with 95 %


def calibration_study(progress: Progress | None = None) -> Study:
    """LOGS logs of known services, each written as CSV, calibrated, and run again."""
    scenario, found, sized = known_service(), [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, LOGS + 1):
            path = written_log(log_of(scenario, seed, waits=False), Path(folder) / f"{seed}.csv")
            found.append(calibrate([path], seeds=6))
            sized += [calibrate([sized_log(seed, path, words=words)], seeds=2) for words in (False, True)]
            if progress is not None:
                progress(seed / LOGS)
    rows = []
    for key, true in {**TRUE, **SIZED, **WORDY}.items():
        some = [one for made in (found if key in TRUE else sized) for one in made.findings.estimates if one.key == key]
        mean = sum(one.value for one in some) / max(len(some), 1)
        rows.append(Row("mean of the estimates", key, "", true, mean, 0.95 * true, 1.05 * true))
        if not any(math.isnan(one.low) for one in some):
            held = sum(one.low - 1e-9 <= true <= one.high + 1e-9 for one in some)
            rows.append(Row("95 % intervals that hold the truth", key, f"of {len(some)}", LOGS, held, FEWEST, LOGS))
    for figure in found[0].held["figure"]:
        lines = [made.held.set_index("figure").loc[figure] for made in found if figure in set(made.held["figure"])]
        agrees = sum(one["fits"] == "agrees" for one in lines)
        rows.append(Row("runs at the fitted values", figure, f"of {len(lines)}", len(lines), agrees, FEWEST, LOGS))
    return Study(
        name="calibrate",
        title="A service found again in its log",
        question="Does a calibration find the parameters that made a log, and do runs at these reproduce it?",
        source=f"{LOGS} simulated logs of a service with a surge, a limit, retries and hang-ups, as CSV without waits; "
        f"and {LOGS} logs each of images of four sizes, and of answers of different lengths, with waits",
        rows=rows,
        known=CALIBRATE,
        notes=[f"An estimate agrees within 5 % of the truth; {FEWEST} of {LOGS} intervals must hold it (99.5 %)."],
    )
