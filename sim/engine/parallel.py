"""Calls spread over processes, with one figure of how far all of them are."""

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.managers import SyncManager
from typing import Any

Progress = Callable[[float], None]  # called with the share of the work that is done, 0 to 1


def in_parallel(
    call: Callable[..., Any],
    given: Any,
    tasks: Sequence[tuple[Any, ...]],
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> list[Any]:
    """call(given, *task, report) for every task, in order; report takes the share of a task that is done.

    processes: how many at once, one per core where None; where that is one, everything runs in this process. call and
    its arguments must be picklable.
    """
    count = min(len(tasks), processes or multiprocessing.cpu_count())
    if count <= 1:
        shares: dict[int, float] = {}
        return [
            call(given, *task, reporter(shares, place, lambda: total(shares, tasks, progress)))
            for place, task in enumerate(tasks)
        ]
    manager = SyncManager(ctx=starting())
    manager.start(end_with_parent)
    with manager, workers(count) as executor:
        common = manager.dict()
        futures = [executor.submit(reported, call, given, task, common, place) for place, task in enumerate(tasks)]
        while not_over(futures):
            total(common, tasks, progress)
            time.sleep(0.2)
        results = [future.result() for future in futures]
        total(common, tasks, progress)
        return results


@contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of their own, each ended at once where this is left by an error or an interrupt.

    An interrupt from the keyboard reaches all processes of a terminal: only this one minds it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(1)  # it reads a script that calls this without a guard, to find a function there; its parent says so
    context = starting()
    others = set(multiprocessing.active_children())  # a manager, and processes of the caller's own
    with ProcessPoolExecutor(count, context, initializer=begin_worker) as executor:
        try:
            yield executor
        except BaseException:
            mine = set(multiprocessing.active_children()) - others
            executor.shutdown(wait=False, cancel_futures=True)
            for process in mine:
                process.terminate()
            for process in mine:
                process.join()
            raise


def starting() -> BaseContext:
    """How processes are started: on Linux as copies of a process that has loaded the engine, elsewhere afresh."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sim.engine.loaded"])
    return context


def load_beside() -> None:
    """Let the process that others will be copied from load the engine while this one goes on."""
    if sys.platform == "linux" and multiprocessing.cpu_count() > 1:
        starting()
        forkserver.ensure_running()


def begin_worker() -> None:
    gc.set_threshold(50_000, 20, 20)  # as in the command: its imports make hardly any garbage
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """End this process when the one that started it has ended, however that happened: nobody waits for its results."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def reported(
    call: Callable[..., Any], given: Any, task: tuple[Any, ...], shares: MutableMapping[int, float], place: int
) -> Any:
    """A task in a process of its own."""
    return call(given, *task, reporter(shares, place))


def not_over(futures: list[Future[Any]]) -> bool:
    """Whether some task is still to come and none has failed."""
    failed = any(future.done() and future.exception() for future in futures)
    return not failed and not all(future.done() for future in futures)


def total(shares: Mapping[int, float], tasks: Sequence[Any], progress: Progress | None) -> None:
    """Report the share of all work that is done."""
    if progress is not None:
        progress(sum(dict(shares).values()) / len(tasks))


def reporter(shares: MutableMapping[int, float], place: int, then: Callable[[], None] = lambda: None) -> Progress:
    """Writes a task's progress into `shares`, a hundred times at most: each is a call to another process."""
    last = -1

    def report(share: float) -> None:
        nonlocal last
        if int(share * 100) > last:
            last = int(share * 100)
            shares[place] = share
            then()

    return report
