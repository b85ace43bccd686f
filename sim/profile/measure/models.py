"""From a preset to a model that runs, and to the operations that each of its components takes."""

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sim.errors import BadInput
from sim.profile.measure.architectures import ARCHITECTURES, Config, merged
from sim.profile.measure.families import FAMILIES
from sim.profile.measure.presets import Preset
from sim.profile.measure.weights import INSTALL, Source

VARIANTS = ("eager", "channels_last", "compile")
DTYPES = ("bfloat16", "float16", "float32")


class Model(Protocol):
    """The interface that the benchmark needs of a model."""

    components: tuple[str, ...]  # in the order a pipeline runs them
    parameters: dict[str, int]  # by component; of the VAE the whole count for each half
    config: Config  # the architecture as it was built

    def work(self, component: str, batch: int, side: int, frames: int) -> Callable[[], Tensor]: ...

    def pipeline(self, batch: int, side: int, frames: int, steps: int) -> Callable[[], Tensor]: ...


def build(
    preset: Preset, *, device: str, dtype: str, variant: str = "eager", seed: int = 0, overrides: Config | None = None
) -> Model:
    """A preset's model on a device, with random weights that depend on the seed alone.

    overrides: part by part, what to build smaller in a test. Raises BadInput for a device, precision or variant that
    cannot be had, for a package that is missing, and where the model does not fit the memory.
    """
    check("dtype", dtype, DTYPES)
    check("variant", variant, VARIANTS)
    check_device(device)
    source = Source(device, getattr(torch, dtype), seed, channels_last=variant == "channels_last")
    try:
        make = chat if preset.feature == "chat" else diffusion
        return make(preset, source, variant, overrides or {})
    except torch.OutOfMemoryError:
        raise BadInput(f"{preset.model} does not fit the memory of this GPU", expected="a smaller preset") from None


def diffusion(preset: Preset, source: Source, variant: str, overrides: Config) -> Model:
    family = FAMILIES[preset.family]
    model = family(preset, merged(ARCHITECTURES[preset.family], overrides), source)
    if variant == "compile":
        model.compile()
    return model


def chat(preset: Preset, source: Source, variant: str, overrides: Config) -> Model:
    if variant != "eager":
        raise BadInput("chat is measured as transformers runs it", key="variant", value=variant, expected="eager")
    try:
        from sim.profile.measure.chat import Chat
    except ImportError as missing:
        why = str(missing).partition("\n")[0]
        raise BadInput(f"this preset needs transformers ({why})", expected=INSTALL) from None
    return Chat(preset, merged(ARCHITECTURES[preset.family], overrides), source)


@lru_cache(maxsize=4096)
def flops_of_one(preset: Preset, component: str, side: int, frames: int) -> int:
    call = on_meta(preset).work(component, 1, side, frames)
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


@lru_cache(maxsize=1)
def on_meta(preset: Preset) -> Model:
    return build(preset, device="meta", dtype=preset.dtype)


def flops(preset: Preset, component: str, batch: int, side: int, frames: int) -> float:
    """Floating-point operations of one call of a component's work, attention included; linear in the batch."""
    return float(batch * flops_of_one(preset, component, side, frames))


def check(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadInput(f"there is no such {key}", key=key, value=value, expected=", ".join(known))


def check_device(device: str) -> None:
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise BadInput("there is no such device", key="device", value=device, expected="cuda or cpu") from None
    if kind == "cuda" and not torch.cuda.is_available():
        why = f"this torch ({torch.__version__}) sees no usable CUDA device"
        raise BadInput(why, key="device", value=device, expected="a GPU, its driver and a CUDA build; or cpu")
