"""Other machines as an executor: the workers of a Dask scheduler, which need this version of meltpoint and no disk.

Each run travels with its scenario, which has its profiles and recordings in it, and comes back as its figures; what is
kept is kept on this machine. A worker that dies loses its runs to the others.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from typing import Any, ClassVar, Self, TypeVar
from uuid import uuid4

from sim.engine.first_use import compile_now
from sim.errors import BadInput
from sim.results.manifest import versions
from sim.scenario.scenario import Scenario
from sim.studies.executors import itself
from sim.studies.store import Cell, code

T = TypeVar("T")
PATIENCE = 30.0  # seconds in which a scheduler answers, has a worker, or is there again
AHEAD = 8  # runs waiting for each thread of a worker, so that none is idle and memory stays flat
SETTINGS = {
    "distributed.comm.timeouts.connect": f"{PATIENCE:g}s",
    "distributed.comm.retry.count": 0,
    "distributed.admin.large-graph-warning-threshold": "1GB",  # a scenario with its recordings is meant to travel
}


class Cluster:
    """The workers of a scheduler. address: like tcp://10.0.0.1:8786. Raises BadInput where they cannot be used."""

    here: ClassVar[bool] = False

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        if find_spec("distributed") is None:
            expected = "pip install 'meltpoint[cluster]'"
            raise BadInput("this takes the library dask.distributed", key="--cluster", value=address, expected=expected)
        import dask
        from distributed import Client

        for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "distributed"]:
            logging.getLogger(name).setLevel(logging.CRITICAL)  # one message of our own says it, without a traceback
        self.address, self.mine, self.scenarios = address, installed(), {}  # type: ignore[var-annotated]
        try:
            with dask.config.set(SETTINGS):
                self.client = Client(address, timeout=patience, set_as_default=False)
        except (OSError, ValueError, TypeError, MemoryError):  # another program's answer reads as a size of exabytes
            expected = "the address of a running scheduler, like tcp://10.0.0.1:8786"
            raise BadInput("no scheduler answers here", key="--cluster", value=address, expected=expected) from None
        try:
            self.client.wait_for_workers(1, timeout=patience)
            self.refuse_other_versions()
        except TimeoutError:
            self.close()
            raise self.wrong("the scheduler has no workers", f"dask worker {address}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster, which goes on."""
        self.client.close(timeout=2)

    def refuse_other_versions(self) -> None:
        """Raise BadInput where a worker has another meltpoint, other libraries, or none."""
        for worker, found in self.client.run(installed, on_error="return").items():
            if isinstance(found, BaseException):
                why = f"a worker ({worker}) has no meltpoint that can be used ({type(found).__name__})"
                raise self.wrong(why, "the version of this machine on every worker")
            if found != self.mine:
                raise self.wrong(f"a worker ({worker}) has {other(found, self.mine)}", "the same on every machine")

    def wrong(self, why: str, expected: str) -> BadInput:
        return BadInput(why, key="--cluster", value=self.address, expected=expected)

    def each(self, call: Callable[[Cell], T], cells: Sequence[Cell]) -> Iterator[tuple[int, T]]:
        """The place of each cell and what the call returned, in the order in which they are done. Raises BadInput."""
        from distributed import CancelledError, as_completed
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker

        left = iter(enumerate(cells))
        waiting: dict[Any, int] = {}

        def more(some: int) -> list[Any]:
            new = {self.submitted(call, cell): place for place, cell in islice(left, some)}
            waiting.update(new)
            return list(new)

        try:
            done = as_completed(more(AHEAD * max(self.threads(), 4)), loop=self.client.loop)
            for future in done:
                place = waiting.pop(future)
                found = future.result()
                del future
                for one in more(1):
                    done.add(one)
                if isinstance(found, Another):
                    raise self.wrong(f"a worker has {other(found.installed, self.mine)}", "the same on every machine")
                yield place, found
        except KilledWorker:
            why = "the workers that make these runs die again and again, perhaps for want of memory"
            raise self.wrong(why, "workers with more memory, or a smaller 'scale'") from None
        except (CommClosedError, CancelledError):
            why = "the scheduler has gone away; the runs that are done are kept"
            raise self.wrong(why, "the same command again, when it is back") from None
        finally:
            if waiting and self.client.status == "running":
                self.client.cancel(list(waiting))

    def threads(self) -> int:
        return sum(self.client.nthreads().values())

    def submitted(self, call: Callable[[Cell], T], cell: Cell) -> Any:
        """A run as a task. Its scenario is another, sent once, and made again where the worker that has it dies."""
        if cell.scenario not in self.scenarios:
            if len(self.scenarios) >= AHEAD:  # the oldest is forgotten when no run needs it
                self.scenarios.pop(next(iter(self.scenarios)))
            key = f"scenario-{uuid4().hex}"
            self.scenarios[cell.scenario] = self.client.submit(itself, cell.scenario, key=key)
        bare = replace(cell, scenario=None)  # type: ignore[arg-type]
        held = self.scenarios[cell.scenario]
        return self.client.submit(there, call, bare, held, self.mine, key=f"run-{uuid4().hex}")


class Another:
    """What a worker with another version returns, in place of a run."""

    def __init__(self, installed: dict[str, str]) -> None:
        self.installed = installed


def there(call: Callable[[Cell], T], bare: Cell, scenario: Scenario, expected: dict[str, str]) -> T | Another:
    """A run on a worker, which may have joined after the versions were looked at."""
    found = installed()
    if found != expected:
        return Another(found)
    compile_now()
    return call(replace(bare, scenario=scenario))


def installed() -> dict[str, str]:
    """The versions that a figure depends on, and the hash of the code."""
    return {**versions(), "code": code()}


def other(found: dict[str, str], mine: dict[str, str]) -> str:
    """What differs, in words."""
    name = next(name for name in {**mine, **found} if found.get(name) != mine.get(name))
    if name == "code":
        return "other code of meltpoint"
    if name not in found:
        return f"no {name}, which this machine has"
    return f"{name} {found[name]} in place of {mine.get(name, 'none')}"
