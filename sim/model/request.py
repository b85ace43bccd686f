"""The nouns of the model: the spec that is asked for, one attempt to get it, and its possible outcomes."""

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

SERVED, REFUSED, ABANDONED, UNFINISHED = "served", "refused", "abandoned", "unfinished"
OUTCOMES = (SERVED, REFUSED, ABANDONED, UNFINISHED)


class Spec(NamedTuple):
    """The work that a request asks of a model, and the key under which a profile is measured.

    `side` is in pixels, `steps` are denoising steps, `frames` is 1 for an image; `images` is the number of images (or
    clips) wanted.
    """

    model: str
    side: int = 1024
    steps: int = 28
    frames: int = 1
    images: int = 1

    @property
    def label(self) -> str:
        """The spec in one word for tables: model/1024px/28st, with frames and images where they are not 1."""
        more = (f"/{self.frames}fr" if self.frames != 1 else "") + (f"/x{self.images}" if self.images != 1 else "")
        return f"{self.model}/{self.side}px/{self.steps}st{more}"


@dataclass(slots=True, eq=False)
class Request:
    """One attempt of one user, and, when over, its row in the request table. Times in seconds; nan is never."""

    user: int
    ask: int  # the number of this wish among those of its user; all its attempts share it
    attempt: int
    tier: int
    feature: int
    arrived: float
    asked: int  # index of the spec wanted
    spec: int  # index of the spec granted
    level: int = 0  # how far down the feature's ladder the gateway sent it; 0 is as asked
    priority: int = 0
    flow: int = 0  # of those that share the pool
    key: int = 0  # of its user's draws
    queue: int = 0  # the number of the GPU whose queue it joined, where each has one
    reason: int = 0  # why it was refused; 0 is not refused
    outcome: str | None = None
    started: float = nan
    dequeued: float = nan  # when it left the queue: for a GPU, dropped, or taken out
    finished: float = nan
    left: float = nan
    batch: int | None = None
    gpu_seconds: float = nan
    first_token: float = nan  # where GPUs run steps: when its first token (step) is made; of those that it makes
    tokens: float = nan
    retry: bool = False  # the user will try again
    formed: int = 0  # the number of its batch in its lane, where batches close by themselves
    waited_out: bool = False  # the linger of a batch it heads is over
    timed: bool = False  # its user has finite patience
    notified: bool = False  # the user was asked to come back for it later, and is more patient
    done: object = None  # the engine's event: served, or found to be over
