"""How each family of diffusers' denoisers is fed: its prompts, its latents, its further inputs."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from sim.profile.measure.diffusion import Diffusion, Prompt
from sim.profile.measure.tiny import Tiny

FRAMES_PER_SECOND = 25  # LTX-Video places its frames in time


class StableDiffusionXL(Diffusion):
    """Stable Diffusion XL: a UNet that reads two text encoders and the picture's size."""

    def build(self) -> None:
        super().build()
        self.pooled = self.config["text"]["clip_big_g"]["projection_dim"]

    def prompt_shape(self) -> tuple[int, int]:
        return self.config["text"]["clip_l"]["length"], self.denoiser.config.cross_attention_dim

    def encode_prompts(self, tokens: dict[str, Tensor]) -> Prompt:
        return self.join({n: e(tokens[n], output_hidden_states=True) for n, e in self.encoders.items()})

    def join(self, outputs: dict[str, Any]) -> Prompt:
        last_but_one = [outputs[name].hidden_states[-2] for name in ("clip_l", "clip_big_g")]
        return Prompt(torch.cat(last_but_one, dim=-1), outputs["clip_big_g"].text_embeds)

    def extras(self, batch: int, side: int, frames: int) -> dict[str, Any]:
        size = torch.tensor([side, side, 0, 0, side, side], dtype=self.source.dtype, device=self.source.device)
        return {"time_ids": size.repeat(batch, 1)}

    def predict(self, latents: Tensor, time: Tensor, prompt: Prompt, extras: dict[str, Any]) -> Tensor:
        added = {"text_embeds": prompt.pooled, **extras}
        return self.denoiser(latents, 1000 * time, prompt.tokens, added_cond_kwargs=added, return_dict=False)[0]


class StableDiffusion3(Diffusion):
    """Stable Diffusion 3.5: a transformer over picture and prompt together; three text encoders."""

    channels = 16

    def build(self) -> None:
        super().build()
        self.pooled = self.denoiser.config.pooled_projection_dim

    def prompt_shape(self) -> tuple[int, int]:
        texts = self.config["text"]
        return texts["clip_l"]["length"] + texts["t5"]["length"], self.denoiser.config.joint_attention_dim

    def encode_prompts(self, tokens: dict[str, Tensor]) -> Prompt:
        clips = ("clip_l", "clip_big_g")
        outputs = {name: self.encoders[name](tokens[name], output_hidden_states=True) for name in clips}
        return self.join({**outputs, "t5": self.encoders["t5"](tokens["t5"])})

    def join(self, outputs: dict[str, Any]) -> Prompt:
        clips, t5 = (outputs["clip_l"], outputs["clip_big_g"]), outputs["t5"].last_hidden_state
        seen = torch.cat([clip.hidden_states[-2] for clip in clips], dim=-1)
        seen = pad(seen, (0, t5.shape[-1] - seen.shape[-1]))
        return Prompt(torch.cat([seen, t5], dim=1), torch.cat([clip.text_embeds for clip in clips], dim=-1))

    def predict(self, latents: Tensor, time: Tensor, prompt: Prompt, extras: dict[str, Any]) -> Tensor:
        return self.denoiser(latents, prompt.tokens, prompt.pooled, 1000 * time, return_dict=False)[0]


class Flux(Diffusion):
    """FLUX.1: latents in blocks of 2 x 2 with their places given; the dev model reads the guidance scale."""

    channels = 16

    def build(self) -> None:
        super().build()
        self.pooled = self.denoiser.config.pooled_projection_dim

    def prompt_shape(self) -> tuple[int, int]:
        return self.config["text"]["t5"]["length"], self.denoiser.config.joint_attention_dim

    def join(self, outputs: dict[str, Any]) -> Prompt:
        return Prompt(outputs["t5"].last_hidden_state, outputs["clip_l"].pooler_output)

    def extras(self, batch: int, side: int, frames: int) -> dict[str, Any]:
        across = side // self.preset.patch
        place = torch.arange(across**2, device=self.source.device)
        where = torch.stack([torch.zeros_like(place), place // across, place % across], dim=-1).to(self.source.dtype)
        guidance = 3.5 * torch.ones(batch, device=self.source.device)
        return {
            "img_ids": where,
            "txt_ids": torch.zeros_like(where[:1]).repeat(self.prompt_shape()[0], 1),
            "guidance": guidance if self.denoiser.config.guidance_embeds else None,
        }

    def predict(self, latents: Tensor, time: Tensor, prompt: Prompt, extras: dict[str, Any]) -> Tensor:
        return self.denoiser(latents, prompt.tokens, prompt.pooled, time, **extras, return_dict=False)[0]

    def pack(self, latents: Tensor) -> Tensor:
        batch, channels, height, width = latents.shape
        blocks = latents.reshape(batch, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
        return blocks.reshape(batch, height // 2 * (width // 2), channels * 4)

    def unpack(self, latents: Tensor, shape: tuple[int, ...]) -> Tensor:
        batch, channels, height, width = shape
        blocks = latents.reshape(batch, height // 2, width // 2, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return blocks.reshape(shape)


class LTXVideo(Diffusion):
    """LTX-Video: one token for each 32 x 32 px of 8 frames; prompts with a mask."""

    channels = 128

    def prompt_shape(self) -> tuple[int, int]:
        return self.config["text"]["t5"]["length"], self.denoiser.config.caption_channels

    def join(self, outputs: dict[str, Any]) -> Prompt:
        return Prompt(outputs["t5"].last_hidden_state)

    def latent_shape(self, batch: int, side: int, frames: int) -> tuple[int, ...]:
        depth, patch = 1 + (frames - 1) // self.preset.frames_per_latent, self.preset.patch
        return batch, self.channels, depth, side // patch, self.preset.width(side) // patch

    def extras(self, batch: int, side: int, frames: int) -> dict[str, Any]:
        _, _, depth, height, width = self.latent_shape(batch, side, frames)
        patch, covered = self.preset.patch, self.preset.frames_per_latent / FRAMES_PER_SECOND
        return {
            "encoder_attention_mask": self.source.ones(batch, self.prompt_shape()[0]),
            "rope_interpolation_scale": (covered, patch, patch),
            "num_frames": depth,
            "height": height,
            "width": width,
        }

    def predict(self, latents: Tensor, time: Tensor, prompt: Prompt, extras: dict[str, Any]) -> Tensor:
        return self.denoiser(latents, prompt.tokens, 1000 * time, **extras, return_dict=False)[0]

    def pack(self, latents: Tensor) -> Tensor:
        return latents.flatten(2).transpose(1, 2).contiguous()

    def unpack(self, latents: Tensor, shape: tuple[int, ...]) -> Tensor:
        return latents.transpose(1, 2).reshape(shape)


class Wan(Diffusion):
    """Wan 2.1: a latent pixel for each 8 x 8 px of 4 frames, in patches of 2 x 2."""

    channels = 16

    def prompt_shape(self) -> tuple[int, int]:
        return self.config["text"]["umt5"]["length"], self.denoiser.config.text_dim

    def join(self, outputs: dict[str, Any]) -> Prompt:
        return Prompt(outputs["umt5"].last_hidden_state)

    def latent_shape(self, batch: int, side: int, frames: int) -> tuple[int, ...]:
        batch, channels, height, width = super().latent_shape(batch, side, frames)
        return batch, channels, 1 + (frames - 1) // self.preset.frames_per_latent, height, width

    def predict(self, latents: Tensor, time: Tensor, prompt: Prompt, extras: dict[str, Any]) -> Tensor:
        return self.denoiser(latents, 1000 * time, prompt.tokens, return_dict=False)[0]


FAMILIES: dict[str, type[Diffusion]] = {
    "sdxl": StableDiffusionXL,
    "sd35-medium": StableDiffusion3,
    "flux-schnell": Flux,
    "flux-dev": Flux,
    "ltx-video": LTXVideo,
    "wan-1.3b": Wan,
    "tiny": Tiny,
}
