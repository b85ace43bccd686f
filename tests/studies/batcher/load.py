"""An open-loop client: it sends requests at given instants, whatever comes of them, and writes down what it saw."""

import asyncio
import math
import selectors
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.studies.batcher.server import Inference, Server, Settings

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What a client saw of a server. One entry per request, in order of sending; times in seconds, nan is never."""

    due: Floats
    latency: Floats  # from when the request was due
    batch: Floats
    served: NDArray[np.bool_]
    lateness: float  # of sending, 99th percentile


def poisson(rates: Sequence[tuple[float, float]], seed: int) -> Floats:
    """Instants of a Poisson process with a rate (per second) for each length (seconds), in order."""
    rng, begins, instants = np.random.default_rng(seed), 0.0, []
    for rate, lasting in rates:
        number = rng.poisson(rate * lasting)
        instants.append(begins + np.sort(rng.uniform(0.0, lasting, number)))
        begins += lasting
    return np.concatenate(instants)


def real_time() -> asyncio.AbstractEventLoop:
    """A loop on the machine's clock; select wakes nearer to the instant than what the platform would choose."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def play_together(
    wanted: Sequence[tuple[Settings, Floats]], loop: Callable[[], asyncio.AbstractEventLoop] = real_time
) -> list[Seen]:
    """Play loads against servers of their own, all at once on one event loop, until the last request is answered."""

    async def everything() -> list[Seen]:
        return await asyncio.gather(*[play(settings, due) for settings, due in wanted])

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(everything())


async def play(settings: Settings, due: Floats) -> Seen:
    """Send each request when it is due, and wait for all answers."""
    server, loop, sent, late = Server(settings), asyncio.get_running_loop(), [], []
    began = loop.time() + 0.1
    for instant in due.tolist():
        await asyncio.sleep(max(0.0, began + instant - loop.time()))
        sent.append(server.infer())
        late.append(sent[-1].enqueued - began - instant)
    outcomes = await asyncio.gather(*[request.done for request in sent])
    served = np.array([outcome == "served" for outcome in outcomes])
    return Seen(due, latencies(sent, due + began), batches(sent), served, float(np.quantile(late, 0.99)))


def latencies(sent: Sequence[Inference], due: Floats) -> Floats:
    return np.array([request.finished for request in sent]) - due


def batches(sent: Sequence[Inference]) -> Floats:
    return np.array([request.batch or math.nan for request in sent])
