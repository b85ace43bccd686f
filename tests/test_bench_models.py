"""The models that are profiled: the published sizes and operations, and forwards of every architecture."""

import dataclasses
import subprocess
import sys
from functools import cache

import pytest

from sim.errors import BadInput
from sim.profile.measure.presets import PRESETS, Preset, preset_named

torch = pytest.importorskip("torch", reason="the models need the extra: pip install 'meltpoint[bench]'")
from sim.profile.measure.models import build, flops

# The packages that hold the architectures warn of their own future.
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")

TINY = [name for name in PRESETS if name.startswith("tiny")]
REAL = [name for name in PRESETS if not name.startswith("tiny")]

# The architectures with fewer and narrower layers: the classes, and what goes into them, stay.
CLIP = {"num_hidden_layers": 2, "intermediate_size": 64, "vocab_size": 99}
T5 = {"num_layers": 1, "num_heads": 1, "d_ff": 64, "vocab_size": 99}
VAE = {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1}
FLUX = {
    "text": {"clip_l": CLIP, "t5": T5},
    "denoise": {"num_layers": 1, "num_single_layers": 1, "num_attention_heads": 2},
    "vae": VAE,
}
SMALL = {
    "sdxl": {
        "text": {"clip_l": CLIP, "clip_big_g": CLIP},
        "denoise": {
            "layers_per_block": 1,
            "block_out_channels": [32, 32, 64],
            "attention_head_dim": [1, 2, 4],
            "transformer_layers_per_block": 1,
        },
        "vae": VAE,
    },
    "sd35-medium": {
        "text": {"clip_l": CLIP, "clip_big_g": CLIP, "t5": T5},
        "denoise": {
            "num_layers": 2,
            "num_attention_heads": 2,
            "caption_projection_dim": 128,
            "dual_attention_layers": [0],
            "pos_embed_max_size": 24,
        },
        "vae": VAE,
    },
    "flux-schnell": FLUX,
    "flux-dev": FLUX,
    "ltx-video": {
        "text": {"t5": T5},
        "denoise": {"num_layers": 1, "num_attention_heads": 2, "cross_attention_dim": 128},
        "vae": {
            "block_out_channels": [8, 16, 16, 16],
            "decoder_block_out_channels": [8, 16, 16, 16],
            "layers_per_block": [1] * 5,
            "decoder_layers_per_block": [1] * 5,
        },
    },
    "wan-1.3b": {
        "text": {"umt5": T5},
        "denoise": {"num_layers": 1, "num_attention_heads": 2, "ffn_dim": 64},
        "vae": {"base_dim": 8, "num_res_blocks": 1},
    },
    "chat-8b": {
        "llama": {
            "num_hidden_layers": 2,
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 99,
        }
    },
}


@cache
def small(name, dtype=None, **options):
    """A preset's model, few layers deep, on the processor; made once."""
    needs_the_architectures()
    preset = PRESETS[name]
    return build(preset, device="cpu", dtype=dtype or preset.dtype, overrides=SMALL[preset.family], **options)


def tokens(preset: Preset, side: int, frames: int) -> int:
    """Tokens of one request: patches of the latent (UNet: latent pixels), for chat those of the prompt."""
    if preset.feature == "chat":
        return side
    picture = (side // preset.patch) * (preset.width(side) // preset.patch)
    return picture * (1 + (frames - 1) // preset.frames_per_latent)


def needs_the_architectures():
    for package in ("diffusers", "transformers"):
        pytest.importorskip(package, reason="the architectures need the extra: pip install 'meltpoint[bench]'")


def size(preset):
    """The smallest that every kind of layer still sees more than one token of."""
    return (64, 2 * preset.frames_per_latent + 1) if preset.feature == "video" else (128 - 64 % preset.multiple, 1)


def shapes(preset, batch, side, frames):
    """The picture or video, and the latent that stands for it."""
    depth = (frames,) if preset.feature == "video" else ()
    return batch, 3, *depth, side, preset.width(side)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_built_with_the_published_number_of_parameters(name):
    if name in REAL:
        needs_the_architectures()
    preset = PRESETS[name]
    assert build(preset, device="meta", dtype=preset.dtype).parameters == preset.parameters


@pytest.mark.parametrize(
    ("name", "component", "side", "frames", "published"),
    [
        ("sdxl", "denoise", 512, 1, 1.589),
        ("sdxl", "vae_decode", 512, 1, 2.515),
        ("sdxl", "denoise", 1024, 1, 6.761),
        ("sdxl-edit", "vae_encode", 512, 1, 1.117),
        ("sd35-medium", "denoise", 1024, 1, 11.25),
        ("flux-dev", "denoise", 512, 1, 21.50),
        ("ltx-video", "denoise", 512, 97, 22.35),
        ("ltx-video", "vae_decode", 512, 97, 33.3),
        ("wan-1.3b", "denoise", 480, 33, 72.9),
    ],
)
def test_a_forward_takes_the_operations_counted_before(name, component, side, frames, published):
    needs_the_architectures()
    preset = PRESETS[name]
    forwards = preset.guidance if component == "denoise" else 1
    assert flops(preset, component, 3, side, frames) / 3 / forwards / 1e12 == pytest.approx(published, rel=0.01)


def test_reading_takes_two_operations_a_weight_and_token_and_writing_a_token_reads_the_whole_context():
    needs_the_architectures()
    preset = PRESETS["chat-8b"]
    matrices = preset.parameters["decode"] - 128256 * 4096 - 65 * 4096  # neither the embedding nor the norms multiply
    of_context = 2 * 2 * 32 * 128 * 32  # scores and values, of every head and layer, a token
    one = 2 * matrices + of_context * 1025
    assert flops(preset, "decode", 2, 1024, 1) == pytest.approx(2 * one, rel=1e-6)  # the positions are a few more
    assert flops(preset, "prefill", 1, 512, 1) == pytest.approx(2 * matrices * 512, rel=0.08)  # and its attention


@pytest.mark.parametrize(
    ("name", "side", "frames", "published"),
    [
        ("ltx-video", 512, 97, 4_992),
        ("ltx-video", 480, 161, 6_930),
        ("wan-1.3b", 480, 33, 14_040),
        ("wan-1.3b", 480, 81, 32_760),
        ("flux-dev", 1024, 1, 4_096),
        ("sdxl", 512, 1, 4_096),
        ("chat-8b", 1024, 1, 1_024),
    ],
)
def test_tokens_are_those_the_transformer_sees(name, side, frames, published):
    assert tokens(PRESETS[name], side, frames) == published


@pytest.mark.parametrize("name", [name for name in REAL if name != "chat-8b"])
def test_every_component_of_a_real_architecture_runs_forward(name):
    preset, model = PRESETS[name], small(name)
    side, frames = size(preset)
    outputs = {c: model.work(c, 2, side, frames)() for c in model.components}
    assert all(output.isfinite().all() for output in outputs.values())
    assert outputs["text"].shape == (2 * preset.guidance, *model.prompt_shape())
    assert outputs["denoise"].shape[0] == 2 * preset.guidance
    assert outputs["vae_decode"].shape == shapes(preset, 2, side, frames)
    if preset.feature == "edit":
        assert outputs["vae_encode"].shape == model.latent_shape(2, side, frames)


@pytest.mark.parametrize("name", [name for name in REAL if name != "chat-8b"])
def test_the_whole_pipeline_of_a_real_architecture_makes_finite_pictures(name):
    preset, model = PRESETS[name], small(name)
    side, frames = size(preset)
    picture = model.pipeline(1, side, frames, 2)()
    assert picture.isfinite().all()
    assert picture.shape == shapes(preset, 1, side, frames)


@pytest.mark.parametrize("name", [name for name in REAL if not name.endswith("-edit")])
def test_the_full_architecture_runs_its_pipeline_on_the_meta_device(name):
    needs_the_architectures()
    preset = PRESETS[name]
    side, frames = preset.sides[0], preset.frames[0]
    output = build(preset, device="meta", dtype=preset.dtype).pipeline(2, side, frames, 1)()
    assert output.shape == ((2, 1, 128256) if preset.feature == "chat" else shapes(preset, 2, side, frames))


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("variant", ["eager", "channels_last"])
def test_the_tiny_model_runs(name, variant):
    preset = PRESETS[name]
    model = build(preset, device="cpu", dtype=preset.dtype, variant=variant)
    outputs = {c: model.work(c, 3, 128, 1)() for c in model.components}
    assert all(output.isfinite().all() for output in outputs.values())
    assert outputs["denoise"].shape == (6, 4, 16, 16)
    assert outputs["vae_decode"].shape == model.pipeline(3, 128, 1, 4)().shape == (3, 3, 128, 128)


def test_a_pipeline_is_its_components_steps_times_strength():
    preset = PRESETS["tiny-edit"]
    model = build(preset, device="meta", dtype="float32")
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        model.pipeline(2, 192, 1, 6)()
    once = sum(flops(preset, c, 2, 192, 1) for c in ("text", "vae_encode", "vae_decode"))
    assert counter.get_total_flops() == once + 5 * flops(preset, "denoise", 2, 192, 1)  # ceil(6 x 0.8)


def test_weights_are_drawn_from_the_seed_and_none_are_zero():
    def picture(seed):
        return build(PRESETS["tiny"], device="cpu", dtype="float32", seed=seed).pipeline(1, 128, 1, 2)()

    assert torch.equal(picture(1), picture(1))
    assert not torch.equal(picture(1), picture(2))
    weights = [p for part in (small("wan-1.3b").denoiser, small("sdxl").denoiser) for p in part.parameters()]
    assert all((weight != 0).float().mean() > 0.99 for weight in weights)


def test_positions_are_counted_and_layers_kept_precise_as_when_loaded():
    positions = small("sdxl").encoders["clip_l"].embeddings.position_ids
    assert torch.equal(positions, torch.arange(77)[None])
    precisions = {name: p.dtype for name, p in small("wan-1.3b").denoiser.named_parameters()}
    assert precisions["blocks.0.norm2.weight"] == precisions["scale_shift_table"] == torch.float32
    assert precisions["blocks.0.ffn.net.2.weight"] == torch.bfloat16


def test_shared_weights_stay_shared():
    encoder = small("flux-dev").encoders["t5"]
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


def test_a_token_written_behind_a_context_is_the_one_of_the_whole_prompt():
    model = small("chat-8b", dtype="float32")
    prompt = model.tokens(2, 9)
    with torch.inference_mode():
        whole = model.model(prompt).logits[:, -1]
        read = model.model(prompt[:, :-1], use_cache=True).past_key_values
        context = model.context(2, 8)
        for ours, theirs in zip(context.layers, read.layers, strict=True):
            ours.keys[:, :, :8], ours.values[:, :, :8] = theirs.keys, theirs.values
        written = [model.model(prompt[:, -1:], past_key_values=context, use_cache=True).logits[:, -1] for _ in range(3)]
    assert context.get_seq_length() == 8
    assert all(torch.allclose(token, whole, atol=1e-5) for token in written)


def test_chat_reads_and_writes():
    model = small("chat-8b")
    assert model.work("prefill", 3, 32, 1)().shape == model.work("decode", 3, 32, 1)().shape == (3, 1, 99)
    assert model.pipeline(3, 32, 1, 2)().isfinite().all()


def test_a_channels_last_model_gives_the_same_picture():
    plain, rearranged = small("sdxl", "float32"), small("sdxl", "float32", variant="channels_last")
    assert rearranged.denoiser.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    pictures = [model.work("denoise", 1, 128, 1)() for model in (plain, rearranged)]
    assert torch.allclose(*pictures, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "key"),
    [({"variant": "fast"}, "variant"), ({"dtype": "int4"}, "dtype"), ({"device": "abacus"}, "device")],
)
def test_what_cannot_be_had_is_refused_by_name(options, key):
    with pytest.raises(BadInput, match=f"no such {key}"):
        build(PRESETS["tiny"], **{"device": "cpu", "dtype": "float32", **options})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(BadInput, match="no usable CUDA device"):
        build(PRESETS["tiny"], device="cuda", dtype="float32")


@pytest.mark.parametrize(
    ("name", "component", "side", "frames", "why"),
    [
        ("tiny", "denoise", 100, 1, "multiple of 16"),
        ("tiny", "denoise", 128, 9, "no videos"),
        ("wan-1.3b", "denoise", 480, 32, "4 x n . 1"),
        ("tiny", "prefill", 128, 1, "no such component"),
    ],
)
def test_work_that_a_model_cannot_do_is_refused(name, component, side, frames, why):
    model = build(PRESETS["tiny"], device="meta", dtype="float32")
    model.preset = PRESETS[name]
    with pytest.raises(BadInput, match=why):
        model.work(component, 1, side, frames)


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(BadInput, match="flux-dev-edit"):
        preset_named("sd16")


def test_a_missing_package_is_answered_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(BadInput, match=r"pip install -U 'meltpoint\[bench\]'"):
        build(PRESETS["sdxl"], device="meta", dtype="bfloat16")


def test_an_edit_is_its_model_with_a_source_picture_and_fewer_steps():
    for name in (name for name in PRESETS if name.endswith("-edit")):
        plain, edit = PRESETS[name.removesuffix("-edit")], PRESETS[name]
        changed = {f.name for f in dataclasses.fields(plain) if getattr(plain, f.name) != getattr(edit, f.name)}
        assert changed == {"name", "feature", "strength", "parameters"}
        assert edit.parameters["vae_encode"] == edit.parameters["vae_decode"]


def test_presets_are_listed_without_torch():
    code = "import sys, sim.profile.measure.presets; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
