"""A diffusion model small enough for a test on a CPU: a text encoder, a transformer and a VAE, written out by hand."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention, silu

from sim.profile.measure.architectures import Config
from sim.profile.measure.diffusion import Diffusion, Prompt
from sim.profile.measure.weights import NOT_FOR_THE_CLASS, filled


class Attention(nn.Module):
    """Self-attention of a sequence."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.inward, self.outward = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.inward(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return self.outward(found)


class Block(nn.Module):
    """A transformer block whose norms are scaled, shifted and gated by the condition (adaLN)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.before, self.between = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.attention, self.modulation = Attention(width, heads), nn.Linear(width, 6 * width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(silu(condition))[:, None].chunk(6, dim=-1)
        x = x + gate * self.attention(self.before(x) * (1 + scale) + shift)
        return x + gate2 * self.feed(self.between(x) * (1 + scale2) + shift2)


class DiT(nn.Module):
    """The denoiser: patches of 2 x 2 latent pixels, conditioned on the time and on the mean of the prompt."""

    def __init__(self, width: int, depth: int, heads: int, prompt_width: int):
        super().__init__()
        self.width = width
        self.patches, self.pixels = nn.Linear(4 * 4, width), nn.Linear(width, 4 * 4)
        self.time, self.prompt = nn.Linear(width, width), nn.Linear(prompt_width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.last = nn.LayerNorm(width)

    def forward(self, latents: Tensor, time: Tensor, prompt: Tensor) -> Tensor:
        batch, channels, height, width = latents.shape
        blocks = latents.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
        x = self.patches(blocks.reshape(batch, -1, channels * 4))
        x = x + waves(torch.arange(x.shape[1], device=x.device), self.width).to(x.dtype)
        condition = self.time(waves(1000 * time, self.width).to(x.dtype)) + self.prompt(prompt.mean(1))
        for block in self.blocks:
            x = block(x, condition)
        found = self.pixels(self.last(x)).reshape(batch, height // 2, width // 2, channels, 2, 2)
        return found.permute(0, 3, 1, 4, 2, 5).reshape(latents.shape)


def waves(places: Tensor, width: int) -> Tensor:
    """Sines and cosines of places, of lengths from 1 to 10 000."""
    lengths = torch.exp(torch.arange(width // 2, device=places.device) * (-math.log(10_000) / (width // 2)))
    angles = places[:, None] * lengths
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class Words(nn.Module):
    """The text encoder."""

    def __init__(self, vocab_size: int, width: int, depth: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), Attention(width, 4)) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            x = x + block(x)
        return x


class VAE(nn.Module):
    """Pictures to latents of an eighth of the side, and back."""

    def __init__(self, encoder: list[int], decoder: list[int]):
        super().__init__()
        down = [nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in pairwise(encoder)]
        last = nn.Conv2d(encoder[-1], 4, 1)
        self.encoder = nn.Sequential(*(layer for conv in down for layer in (conv, nn.SiLU())), last)
        self.decoder = Upwards(decoder)


class Upwards(nn.Module):
    """The VAE's decoder: three times twice the side."""

    def __init__(self, widths: list[int]):
        super().__init__()
        self.first, self.last = nn.Conv2d(4, widths[0], 1), nn.Conv2d(widths[-1], 3, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(widths))

    def forward(self, latents: Tensor) -> Tensor:
        x = self.first(latents)
        for conv in self.convs:
            x = silu(conv(interpolate(x, scale_factor=2)))
        return self.last(x)


class Tiny(Diffusion):
    """The three parts as one model."""

    def build(self) -> None:
        def made(kind: type[nn.Module], config: Config) -> nn.Module:
            with torch.device("meta"):
                arguments = {key: value for key, value in config.items() if key not in NOT_FOR_THE_CLASS}
                return filled(kind(**arguments), self.source)

        self.encoders = {"words": made(Words, self.config["text"]["words"])}
        self.denoiser, self.vae = made(DiT, self.config["denoise"]), made(VAE, self.config["vae"])

    def prompt_shape(self) -> tuple[int, int]:
        return self.config["text"]["words"]["length"], self.config["text"]["words"]["width"]

    def join(self, outputs: dict[str, Tensor]) -> Prompt:
        return Prompt(outputs["words"])

    def predict(self, latents: Tensor, time: Tensor, prompt: Prompt, extras: dict[str, object]) -> Tensor:
        return self.denoiser(latents, time, prompt.tokens)

    def encode(self, pictures: Tensor) -> Tensor:
        return self.vae.encoder(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decoder(latents)
