"""How the GPUs of a pool serve what is asked of them, and how many steps a request takes there."""

import math
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from sim.demand.laws import Constant, Time
from sim.schema import Strict, sourced
from sim.units import Plain, Seconds, Whole

BATCHES: Final = "batches"
STEPS: Final = "steps"
THREADS: Final = "threads"
WHEN_FREE: Final = "when a GPU is free"
AHEAD: Final = "when full or timed out"
SLOT_FREE: Final = "when a slot is free"
CENTRAL: Final = "central queue"


class HowItServes(Strict):
    """What a GPU runs at a time, and when."""

    runs: Literal["batches", "steps", "threads"] = Field(
        default=BATCHES,
        description="what a GPU runs: one batch to its end; steps (continuous batching): up to `max_batch` images or "
        "chats, all of them one step at a time, which others join and leave at any step; or up to `max_batch` threads "
        "that share the GPU evenly",
    )
    max_batch: Annotated[Whole, Field(ge=1, le=1024)] = Field(
        default=1, description="images in one batch, images or chats in one step, or threads on one GPU, at most"
    )
    dispatch: Literal[
        "central queue", "random", "round robin", "two choices", "least requests", "least work", "hash"
    ] = Field(
        default=CENTRAL,
        description="where a request waits: in one queue from which every GPU takes, or in the queue of a GPU that is "
        "chosen when it comes: at random; in turn; of two chosen at random the one with fewer requests, waiting or "
        "running; of all the one with the fewest; the one with the fewest seconds of work ahead, as measured; or "
        "always the same for a user",
    )
    affinity: Seconds | None = Field(
        default=None,
        description="send a request, by the rule of `dispatch`, to a GPU that holds its model, or none yet, unless the "
        "wait there is longer by more than this than elsewhere; 'never': only where no such GPU is there",
    )
    linger: Annotated[Seconds, Field(allow_inf_nan=False)] = Field(
        default=0.0, description="how long a free GPU, or a batch that closes by itself, waits to fill"
    )
    closes: Literal["when a GPU is free", "when a slot is free", "when full or timed out"] = Field(
        default=WHEN_FREE,
        description="when a batch takes nobody any more: a free GPU closes it, of what waits; or a free slot does (see "
        "`slots`), and the batch waits for a GPU; or it closes when it is full or `linger` is over, whether or not "
        "anything is free, and waits for a GPU as it is",
    )
    slots: Annotated[Whole, Field(ge=1, le=64)] = sourced(
        2,
        (
            "batches for each GPU that run or wait closed, where a free slot closes them: with 2, as many wait "
            "as there are GPUs. They run in the order in which they closed"
        ),
        assumed="assumed: one runs and one waits",
    )
    timer: Literal["from the oldest", "from the last close", "from the last close, as polled"] = Field(
        default="from the oldest",
        description="what `linger` counts from where batches close when full or timed out; as polled: looked at "
        "only when a request comes, or when none has come for as long as `linger`",
    )
    late_joiners: bool = Field(
        default=False, description="whether a batch that closed before it was full takes more requests until it starts"
    )
    model_load: Time = sourced(
        Constant(kind="constant", value=0),
        "what a GPU's first batch takes longer, and every batch of another model than the one before",
        assumed="assumed: each GPU holds all its pool's models; else GenTD26: lognormal, mean 22 s, p95 45 s",
    )

    @model_validator(mode="after")
    def options_fit_together(self) -> Self:
        if self.closes == WHEN_FREE and (self.timer != "from the oldest" or self.late_joiners):
            expected = f"'closes: {AHEAD}', or neither"
            raise ValueError(f"timer, late_joiners: a batch that a free GPU closes starts at once, expected {expected}")
        if self.closes == SLOT_FREE and self.timer != "from the oldest":
            raise ValueError(f"timer: a free slot closes batches, expected 'closes: {AHEAD}', or 'from the oldest'")
        if self.closes == SLOT_FREE and self.dispatch != CENTRAL:
            said = f"closes, dispatch: {SLOT_FREE!r} is of one queue for all GPUs, not of {self.dispatch!r}"
            raise ValueError(f"{said}, expected {CENTRAL!r}")
        if self.closes != SLOT_FREE and "slots" in self.model_fields_set:
            raise ValueError(f"slots: nothing has slots in this pool, expected 'closes: {SLOT_FREE}', or no such key")
        if self.affinity is not None and self.dispatch in (CENTRAL, "round robin", "hash"):
            expected = "dispatch 'random', 'two choices', 'least requests' or 'least work'"
            raise ValueError(f"affinity, dispatch: {self.dispatch!r} cannot prefer some GPUs, expected {expected}")
        if self.runs != BATCHES:
            if self.affinity is not None:
                raise ValueError(f"affinity: a pool that runs {self.runs} holds all its models, expected none")
            if self.dispatch == "least work":
                said = f"the work ahead is not known in a pool that runs {self.runs}"
                raise ValueError(f"dispatch: {said}, expected 'least requests' or another")
            if self.closes != WHEN_FREE:
                raise ValueError(f"closes: a pool that runs {self.runs} forms no batches, expected {WHEN_FREE!r}")
            if self.linger > 0:
                raise ValueError(f"linger: a pool that runs {self.runs} forms no batches that could wait, expected 0")
            if self.model_load.law.a > 0:
                raise ValueError(f"model_load: a pool that runs {self.runs} holds all its models, expected none")
        return self

    def sizes(self, images: int) -> range:
        """The numbers of images that a GPU may have at once, of requests for this number of them."""
        return range(images, self.max_batch * (images if self.runs == THREADS else 1) + 1, images)


class Length(Strict):
    """How many steps, or tokens, a request takes: `steps` of its spec is the mean."""

    kind: Literal["fixed", "geometric", "lognormal"]
    cv: Annotated[Plain, Field(gt=0, le=10)] = Field(
        default=1.0, description="coefficient of variation of the lognormal, before it is rounded to whole steps"
    )

    @property
    def sigma(self) -> float:
        return math.sqrt(math.log1p(self.cv**2))
