"""A diffusion model in its parts: each can be run alone, as the benchmark times it, or all in turn as a pipeline."""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sim.profile.measure.architectures import Config
from sim.profile.measure.presets import Preset, check_size, check_work
from sim.profile.measure.weights import Source, built, count

GUIDANCE_SCALE = 5.0
PX_PER_LATENT = 8

Call = Callable[[], Tensor]


class Prompt(NamedTuple):
    """Prompts as the denoiser reads them."""

    tokens: Tensor  # batch x length x width
    pooled: Tensor | None = None  # batch x width, where the architecture has one


class Diffusion:
    """The common part of all diffusion models; each family defines how its denoiser is fed (see families)."""

    channels = 4  # of the latent
    pooled = 0  # width of the pooled prompt; 0: none

    def __init__(self, preset: Preset, config: Config, source: Source):
        self.preset, self.config, self.source = preset, config, source
        self.build()
        edits = preset.feature == "edit"
        self.components = ("text", *(("vae_encode",) if edits else ()), "denoise", "vae_decode")
        parts = {
            "text": sum(count(encoder) for encoder in self.encoders.values()),
            "vae_encode": count(self.vae),
            "denoise": count(self.denoiser),
            "vae_decode": count(self.vae),
        }
        self.parameters = {name: parts[name] for name in self.components}

    def build(self) -> None:
        self.encoders: dict[str, nn.Module] = {n: built(c, self.source) for n, c in self.config["text"].items()}
        self.denoiser: Any = built(self.config["denoise"], self.source)
        self.vae: Any = built(self.config["vae"], self.source)

    # Defined by each family.

    def join(self, outputs: dict[str, Any]) -> Prompt:
        """The prompt as the denoiser reads it, from the outputs of the text encoders."""
        raise NotImplementedError

    def prompt_shape(self) -> tuple[int, int]:
        """Length and width of a prompt as the denoiser reads it."""
        raise NotImplementedError

    def extras(self, batch: int, side: int, frames: int) -> dict[str, Any]:
        """Further inputs of the denoiser that stay the same from step to step."""
        return {}

    def predict(self, latents: Tensor, time: Tensor, prompt: Prompt, extras: dict[str, Any]) -> Tensor:
        """One forward of the denoiser; time runs from 1 (noise) to 0."""
        raise NotImplementedError

    def latent_shape(self, batch: int, side: int, frames: int) -> tuple[int, ...]:
        return batch, self.channels, side // PX_PER_LATENT, self.preset.width(side) // PX_PER_LATENT

    def pack(self, latents: Tensor) -> Tensor:
        """From the VAE's layout to the denoiser's."""
        return latents

    def unpack(self, latents: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Back to the VAE's layout."""
        return latents

    def encode_prompts(self, tokens: dict[str, Tensor]) -> Prompt:
        return self.join({name: encoder(tokens[name]) for name, encoder in self.encoders.items()})

    def encode(self, pictures: Tensor) -> Tensor:
        return self.vae.encode(pictures).latent_dist.mode()

    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents, return_dict=False)[0]

    # The workloads, the same for every family.

    def work(self, component: str, batch: int, side: int, frames: int) -> Call:
        """One run of a component for `batch` requests; its inputs are made now, outside the time of a call."""
        check_work(self.preset, self.components, component, side=side, frames=frames)
        prepare = {"text": self.text, "vae_encode": self.vae_encode, "denoise": self.denoise}
        return torch.inference_mode()(prepare.get(component, self.vae_decode)(batch, side, frames))

    def text(self, batch: int, side: int, frames: int) -> Call:
        tokens = self.tokens(batch)
        return lambda: self.encode_prompts(tokens).tokens

    def vae_encode(self, batch: int, side: int, frames: int) -> Call:
        pictures = self.source.normal(batch, 3, side, self.preset.width(side))
        return lambda: self.encode(pictures)

    def denoise(self, batch: int, side: int, frames: int) -> Call:
        forwards = batch * self.preset.guidance
        latents = self.pack(self.source.normal(*self.latent_shape(forwards, side, frames)))
        pooled = self.source.normal(forwards, self.pooled) if self.pooled else None
        prompt = Prompt(self.source.normal(forwards, *self.prompt_shape()), pooled)
        time, extras = torch.full((forwards,), 0.5, device=self.source.device), self.extras(forwards, side, frames)
        return lambda: self.predict(latents, time, prompt, extras)

    def vae_decode(self, batch: int, side: int, frames: int) -> Call:
        latents = self.source.normal(*self.latent_shape(batch, side, frames))
        return lambda: self.decode(latents)

    def pipeline(self, batch: int, side: int, frames: int, steps: int) -> Call:
        """Everything in turn, as one call: prompts, [source picture], Euler steps, picture."""
        check_size(self.preset, side, frames)
        shape = self.latent_shape(batch, side, frames)
        tokens, noise = self.tokens(batch), self.pack(self.source.normal(*shape))
        pictures = self.source.normal(batch, 3, side, side) if "vae_encode" in self.components else None
        extras = self.extras(batch * self.preset.guidance, side, frames)
        runs = max(1, math.ceil(steps * self.preset.strength - 1e-9))
        times = torch.linspace(self.preset.strength, 0.0, runs + 1, device=self.source.device)

        def call() -> Tensor:
            prompt, latents = self.encode_prompts(tokens), noise
            if pictures is not None:
                latents = times[0] * noise + (1 - times[0]) * self.pack(self.encode(pictures))
            for now, then in itertools.pairwise(times):
                latents = latents + (then - now) * self.guided(latents, now, prompt, extras)
            return self.decode(self.unpack(latents, shape))

        return torch.inference_mode()(call)

    def guided(self, latents: Tensor, now: Tensor, prompt: Prompt, extras: dict[str, Any]) -> Tensor:
        """The denoiser's prediction, with classifier-free guidance where the preset has it."""
        both = torch.cat([latents] * self.preset.guidance)
        found = self.predict(both, now.expand(len(both)), prompt, extras)
        if self.preset.guidance == 1:
            return found
        without, wanted = found.chunk(2)
        return without + GUIDANCE_SCALE * (wanted - without)

    def tokens(self, batch: int) -> dict[str, Tensor]:
        """Random prompts for every text encoder, the negative ones that guidance needs included."""
        prompts = batch * self.preset.guidance
        return {
            name: self.source.tokens(prompts, config["length"], config["vocab_size"])
            for name, config in self.config["text"].items()
        }

    def compile(self) -> None:
        """torch.compile for denoiser and picture VAE: block by block where the class names its repeated blocks."""
        if getattr(self.denoiser, "_repeated_blocks", None):
            self.denoiser.compile_repeated_blocks()
        else:
            self.denoiser.compile()
        if self.preset.feature != "video":  # the video VAEs go frame by frame through caches that do not compile
            self.vae.encoder.compile()
            self.vae.decoder.compile()
