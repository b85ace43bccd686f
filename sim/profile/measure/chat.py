"""A chat model in its two components: reading a prompt (prefill), and writing one token behind a context (decode)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from sim.profile.measure.architectures import Config
from sim.profile.measure.presets import Preset, check_size, check_work
from sim.profile.measure.weights import Source, built, count

Call = Callable[[], Tensor]


class Context(DynamicLayer):
    """One layer's keys and values of a context already read. The new token's go behind it, over those of the last call:
    so it never grows, and no call copies it.
    """

    def __init__(self, keys: Tensor, values: Tensor):
        super().__init__()
        self.keys, self.values, self.is_initialized = keys, values, True
        self.dtype, self.device = keys.dtype, keys.device

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        self.keys[:, :, -1:], self.values[:, :, -1:] = key_states, value_states
        return self.keys, self.values

    def get_seq_length(self, *_: Any) -> int:
        return int(self.keys.shape[-2]) - 1


class Chat:
    """A decoder-only language model with random weights; `side` is the prompt, or the context, in tokens."""

    components: tuple[str, ...] = ("prefill", "decode")

    def __init__(self, preset: Preset, config: Config, source: Source):
        self.preset, self.config, self.source = preset, config, source
        self.model: Any = built(config["llama"], source)
        self.parameters = dict.fromkeys(self.components, count(self.model))

    def work(self, component: str, batch: int, side: int, frames: int) -> Call:
        """One run of a component for `batch` requests; its inputs are made now, outside the time of a call."""
        check_work(self.preset, self.components, component, side=side, frames=frames)
        prepare = self.prefill if component == "prefill" else self.decode
        return torch.inference_mode()(prepare(batch, side))

    def prefill(self, batch: int, side: int) -> Call:
        tokens = self.tokens(batch, side)
        return lambda: self.model(tokens, use_cache=True, logits_to_keep=1).logits

    def decode(self, batch: int, side: int) -> Call:
        token, context = self.tokens(batch, 1), self.context(batch, side)
        return lambda: self.model(token, past_key_values=context, use_cache=True).logits

    def context(self, batch: int, side: int) -> Cache:
        llama = self.model.config
        shape = batch, llama.num_key_value_heads, side + 1, llama.head_dim
        layers = range(llama.num_hidden_layers)
        return Cache(layers=[Context(self.source.normal(*shape), self.source.normal(*shape)) for _ in layers])

    def pipeline(self, batch: int, side: int, frames: int, steps: int) -> Call:
        """A whole answer of `steps` tokens, its context growing as transformers has it grow."""
        check_size(self.preset, side, frames)
        prompt = self.tokens(batch, side)

        def call() -> Tensor:
            said = self.model(prompt, use_cache=True, logits_to_keep=1)
            for _ in range(steps):
                token = said.logits[:, -1:].argmax(-1)
                said = self.model(token, past_key_values=said.past_key_values, use_cache=True)
            return said.logits

        return torch.inference_mode()(call)

    def tokens(self, batch: int, length: int) -> Tensor:
        return self.source.tokens(batch, length, self.config["llama"]["vocab_size"])
