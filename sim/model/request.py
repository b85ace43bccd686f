"""The nouns of the model: what is asked for, one attempt at it, and how that can end."""

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

SERVED, REFUSED, ABANDONED, UNFINISHED = "served", "refused", "abandoned", "unfinished"
OUTCOMES = (SERVED, REFUSED, ABANDONED, UNFINISHED)


class Spec(NamedTuple):
    """What a request asks of a model: the key under which a profile is measured.

    `side` is in pixels, `steps` are denoising steps, `frames` is 1 for an image; `images` is how many images (or clips)
    a request wants.
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
    ask: int  # the how-manieth thing this user wants; all attempts at it share the number
    attempt: int
    tier: int
    feature: int
    arrived: float
    asked: int  # index of the spec the user wants
    spec: int  # index of the spec granted
    level: int = 0  # how far down the feature's ladder the gateway sent it; 0 is as asked
    priority: int = 0
    flow: int = 0  # of those that share the pool
    reason: int = 0  # why it was refused; 0 is not refused
    outcome: str | None = None
    started: float = nan
    dequeued: float = nan  # when it left the queue: to a GPU, or dropped, or taken out
    finished: float = nan
    left: float = nan
    batch: int | None = None
    gpu_seconds: float = nan
    retry: bool = False  # the user will try again
    waited_out: bool = False  # the linger of a batch it heads is over
    timed: bool = False  # patience will be over at some time
    notified: bool = False  # the user was told to come back for it, and is more patient
    done: object = None  # the engine's event: served, or found to be over
