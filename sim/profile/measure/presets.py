"""Presets that can be measured: public models by name, how a request uses them, the sizes and batches to time."""

from dataclasses import dataclass, field, replace

from sim.errors import BadInput

CLIP_L, CLIP_BIG_G, T5_XXL, UMT5_XXL = 123_060_480, 694_659_840, 4_762_310_656, 5_680_910_336
CLIP_L_PROJECTED = CLIP_L + 768 * 768  # as Stable Diffusion 3 has it
VAE, VAE_16 = 83_653_863, 83_819_683
LLAMA_8B = 8_030_261_248
EDIT_STRENGTH = 0.8


@dataclass(frozen=True)
class Preset:
    """One model as a service would run it."""

    name: str
    model: str  # the checkpoint whose architecture this is; its weights are not downloaded
    feature: str  # image | edit | video | chat
    steps: int  # denoising steps a request asks for; for chat the tokens it gets
    guidance: int  # forward batch a request takes: 2 with classifier-free guidance
    sides: tuple[int, ...]  # px, of a video the height; for chat the tokens of the prompt
    batches: tuple[int, ...]  # every number of requests a server may put into a batch
    patch: int  # px along a side that one token (UNet: one latent pixel) covers
    multiple: int  # px that a side must be a multiple of
    parameters: dict[str, int] = field(hash=False)  # published counts by component
    strength: float = 1.0  # an edit runs ceil(steps x strength) steps
    frames: tuple[int, ...] = (1,)
    frames_per_latent: int = 1  # of a video, beyond its first frame
    aspect: float = 1.0  # width over height
    dtype: str = "bfloat16"

    @property
    def family(self) -> str:
        """The architecture's name: an edit uses the model of its preset for new pictures."""
        return self.name.removesuffix("-edit")

    def width(self, side: int) -> int:
        """Width in px of a picture or video of that height; a video's is cut to whole blocks of 64."""
        return side if self.aspect == 1.0 else int(side * self.aspect) // 64 * 64


def check_work(preset: Preset, components: tuple[str, ...], component: str, *, side: int, frames: int) -> None:
    """Raises BadInput for a component that the model does not have, and for a size that it cannot make."""
    if component not in components:
        expected = ", ".join(components)
        raise BadInput(f"{preset.name} has no such component", key="component", value=component, expected=expected)
    check_size(preset, side, frames)


def check_size(preset: Preset, side: int, frames: int) -> None:
    """Raises BadInput for a size that the model cannot make."""
    if side < 1 or side % preset.multiple:
        expected = f"a multiple of {preset.multiple}"
        raise BadInput(f"{preset.model} cannot make that size", key="side", value=side, expected=expected)
    if preset.feature != "video" and frames != 1:
        raise BadInput(f"{preset.model} makes no videos", key="frames", value=frames, expected="1")
    if frames < 1 or (frames - 1) % preset.frames_per_latent:
        expected = f"{preset.frames_per_latent} x n + 1"
        raise BadInput(f"{preset.model} cannot make that many frames", key="frames", value=frames, expected=expected)


def preset_named(name: str) -> Preset:
    """The preset of that name; raises BadInput with those there are."""
    if name not in PRESETS:
        raise BadInput("there is no such preset", key="preset", value=name, expected=", ".join(PRESETS))
    return PRESETS[name]


def up_to(largest: int) -> tuple[int, ...]:
    return tuple(range(1, largest + 1))


def edit(preset: Preset) -> Preset:
    """The same model changing a picture that it is given (img2img): it encodes the picture and runs fewer steps."""
    parameters = {"text": preset.parameters["text"], "vae_encode": preset.parameters["vae_decode"]}
    return replace(
        preset,
        name=f"{preset.name}-edit",
        feature="edit",
        strength=EDIT_STRENGTH,
        parameters={**parameters, **{c: preset.parameters[c] for c in ("denoise", "vae_decode")}},
    )


SDXL = Preset(
    name="sdxl", model="stabilityai/stable-diffusion-xl-base-1.0", feature="image", steps=30, guidance=2,
    sides=(512, 768, 1024), batches=up_to(8), patch=8, multiple=64,
    parameters={"text": CLIP_L + CLIP_BIG_G, "denoise": 2_567_463_684, "vae_decode": VAE},
)  # fmt: skip
SD35_MEDIUM = Preset(
    name="sd35-medium", model="stabilityai/stable-diffusion-3.5-medium", feature="image", steps=28, guidance=2,
    sides=(512, 1024, 1440), batches=up_to(8), patch=16, multiple=16,
    parameters={"text": CLIP_L_PROJECTED + CLIP_BIG_G + T5_XXL, "denoise": 2_243_171_520, "vae_decode": VAE_16},
)  # fmt: skip
FLUX_DEV = Preset(
    name="flux-dev", model="black-forest-labs/FLUX.1-dev", feature="image", steps=50, guidance=1,
    sides=(512, 768, 1024), batches=up_to(8), patch=16, multiple=16,
    parameters={"text": CLIP_L + T5_XXL, "denoise": 11_901_408_320, "vae_decode": VAE_16},
)  # fmt: skip
FLUX_SCHNELL = replace(
    FLUX_DEV,
    name="flux-schnell",
    model="black-forest-labs/FLUX.1-schnell",
    steps=4,
    parameters={**FLUX_DEV.parameters, "denoise": 11_891_178_560},
)
LTX_VIDEO = Preset(
    name="ltx-video", model="Lightricks/LTX-Video", feature="video", steps=40, guidance=2, sides=(480, 512, 704),
    batches=up_to(4), patch=32, multiple=32, frames=(97, 161), frames_per_latent=8, aspect=3 / 2,
    parameters={"text": T5_XXL, "denoise": 1_923_385_472, "vae_decode": 419_193_649},
)  # fmt: skip
WAN = Preset(
    name="wan-1.3b", model="Wan-AI/Wan2.1-T2V-1.3B-Diffusers", feature="video", steps=50, guidance=2, sides=(480,),
    batches=up_to(2), patch=16, multiple=16, frames=(33, 81), frames_per_latent=4, aspect=16 / 9,
    parameters={"text": UMT5_XXL, "denoise": 1_418_996_800, "vae_decode": 126_892_531},
)  # fmt: skip
CHAT_8B = Preset(
    name="chat-8b", model="meta-llama/Llama-3.1-8B", feature="chat", steps=256, guidance=1,
    sides=(256, 1024, 4096), batches=up_to(16), patch=1, multiple=1,
    parameters={"prefill": LLAMA_8B, "decode": LLAMA_8B},
)  # fmt: skip
TINY = Preset(
    name="tiny", model="meltpoint tiny DiT", feature="image", steps=8, guidance=2, sides=(128, 192, 256),
    batches=up_to(4), patch=16, multiple=16, parameters={"text": 66_304, "denoise": 309_328, "vae_decode": 8_143},
    dtype="float32",
)  # fmt: skip

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        *(SDXL, edit(SDXL), SD35_MEDIUM, edit(SD35_MEDIUM), FLUX_SCHNELL, FLUX_DEV, edit(FLUX_DEV)),
        *(LTX_VIDEO, WAN, CHAT_8B, TINY, edit(TINY)),
    )
}
