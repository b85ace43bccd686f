"""Real architectures with random weights: built on the meta device, then filled where they will run."""

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sim.errors import BadInput
from sim.profile.measure.architectures import Config

SPREAD = 0.02  # of weights, about what training starts from; zeros would run measurably faster than a real model
INSTALL = "pip install -U 'meltpoint[bench]'"
NOT_FOR_THE_CLASS = ("class", "length")


class Source:
    """Where tensors come from: one device, one precision, one seed. On the meta device they have no content."""

    def __init__(self, device: str, dtype: torch.dtype, seed: int = 0, *, channels_last: bool = False):
        self.device, self.dtype, self.channels_last = torch.device(device), dtype, channels_last
        self.generator = None if self.meta else torch.Generator(self.device).manual_seed(seed)

    @property
    def meta(self) -> bool:
        return self.device.type == "meta"

    def normal(self, *shape: int) -> Tensor:
        """Standard normal draws; pictures are laid out as the convolutions want them."""
        drawn = self.drawn(shape, self.dtype, 0.0, 1.0)
        return drawn.to(memory_format=torch.channels_last) if self.channels_last and drawn.ndim == 4 else drawn

    def drawn(self, shape: Sequence[int], dtype: torch.dtype, mean: float, spread: float) -> Tensor:
        made = torch.empty(tuple(shape), dtype=dtype, device=self.device)
        return made if self.meta else made.normal_(mean, spread, generator=self.generator)

    def tokens(self, batch: int, length: int, vocabulary: int) -> Tensor:
        made = torch.empty((batch, length), dtype=torch.long, device=self.device)
        return made if self.meta else made.random_(0, vocabulary, generator=self.generator)

    def ones(self, *shape: int) -> Tensor:
        return torch.ones(shape, dtype=self.dtype, device=self.device)


def built(config: Config, source: Source) -> nn.Module:
    """The class a configuration names, with random weights; raises BadInput where its package is missing."""
    kind = class_named(config["class"])
    arguments = {key: value for key, value in config.items() if key not in NOT_FOR_THE_CLASS}
    with torch.device("meta"):
        module = kind(kind.config_class(**arguments)) if hasattr(kind, "config_class") else kind(**arguments)
    return filled(module, source)


def class_named(name: str) -> Any:
    """A model class of diffusers, else of transformers."""
    try:
        found = [getattr(importlib.import_module(package), name, None) for package in ("diffusers", "transformers")]
    except ImportError as missing:
        why = str(missing).partition("\n")[0]
        raise BadInput(f"this preset needs diffusers and transformers ({why})", expected=INSTALL) from None
    kind = next((k for k in found if k is not None), None)
    if kind is None:
        raise BadInput(f"the installed diffusers has no {name}", expected=INSTALL)
    return kind


def filled(module: nn.Module, source: Source) -> nn.Module:
    """The module moved from the meta device to the source's, every number of it drawn, ready to run forwards only."""
    made: dict[int, nn.Parameter] = {}  # a weight that two layers share stays one
    for name, parameter in list(module.named_parameters(remove_duplicate=False)):
        if id(parameter) not in made:
            mean = 1.0 if scales(name, parameter) else 0.0
            values = source.drawn(parameter.shape, precision(module, name, source), mean, SPREAD)
            made[id(parameter)] = nn.Parameter(values, requires_grad=False)
        place(module, name, made[id(parameter)])
    saved = set(module.state_dict())
    for name, buffer in list(module.named_buffers()):
        place(module, name, refilled(buffer, source, source.dtype if name in saved else buffer.dtype))
    if source.channels_last:
        module.to(memory_format=torch.channels_last)
    return module.eval()


def refilled(buffer: Tensor, source: Source, dtype: torch.dtype) -> Tensor:
    """A buffer's content: positions where it holds integers (nothing else does in these models), else random."""
    if buffer.dtype.is_floating_point:
        return source.drawn(buffer.shape, dtype, 0.0, SPREAD)
    return torch.arange(buffer.shape[-1], dtype=buffer.dtype, device=source.device).expand(buffer.shape).clone()


def scales(name: str, parameter: Tensor) -> bool:
    """Whether this is the gain of a normalisation, which must be near one for activations to stay finite."""
    leaf = name.rpartition(".")[2]
    return leaf == "gamma" or (leaf == "weight" and parameter.ndim == 1)


def precision(module: nn.Module, name: str, source: Source) -> torch.dtype:
    """A weight's precision as diffusers loads it: some layers of a few models stay in float32."""
    wide = getattr(module, "_keep_in_fp32_modules", None) or ()
    by_diffusers = type(module).__module__.startswith("diffusers.")
    return torch.float32 if by_diffusers and set(wide) & set(name.split(".")) else source.dtype


def place(module: nn.Module, name: str, value: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, value)


def count(module: nn.Module) -> int:
    """Parameters of a module, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())
