"""The architectures of the presets: class and configuration of every part, written out so that nothing is downloaded.

Sources: Stable Diffusion XL and 3.5: the config.json files of their checkpoints; FLUX, LTX-Video and Wan's VAE:
the constructors' defaults in diffusers 0.42; Wan 2.1 1.3B: diffusers' convert_wan_to_diffusers.py; text encoders and
Llama 3.1: the config.json files of their checkpoints. The parameter counts, which tests compare with the published
ones, confirm them.
"""

from typing import Any

Config = dict[str, Any]

CLIP_L: Config = {
    "class": "CLIPTextModel", "length": 77, "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072,
    "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 77, "projection_dim": 768,
    "hidden_act": "quick_gelu",
}  # fmt: skip
CLIP_L_PROJECTED: Config = {**CLIP_L, "class": "CLIPTextModelWithProjection"}
CLIP_BIG_G: Config = {
    "class": "CLIPTextModelWithProjection", "length": 77, "vocab_size": 49408, "hidden_size": 1280,
    "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20, "max_position_embeddings": 77,
    "projection_dim": 1280, "hidden_act": "gelu",
}  # fmt: skip
T5_XXL: Config = {
    "class": "T5EncoderModel", "length": 512, "vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240,
    "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu",
}  # fmt: skip
UMT5_XXL: Config = {**T5_XXL, "class": "UMT5EncoderModel", "vocab_size": 256384}

VAE: Config = {
    "class": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 4,
    "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
}  # fmt: skip
VAE_16: Config = {**VAE, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}

SDXL_UNET: Config = {
    "class": "UNet2DConditionModel", "sample_size": 128, "block_out_channels": [320, 640, 1280],
    "layers_per_block": 2, "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
    "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"], "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816, "use_linear_projection": True,
}  # fmt: skip
SD35_MEDIUM: Config = {
    "class": "SD3Transformer2DModel", "num_layers": 24, "num_attention_heads": 24, "attention_head_dim": 64,
    "caption_projection_dim": 1536, "joint_attention_dim": 4096, "pooled_projection_dim": 2048,
    "pos_embed_max_size": 384, "dual_attention_layers": list(range(13)), "qk_norm": "rms_norm",
}  # fmt: skip
FLUX: Config = {
    "class": "FluxTransformer2DModel", "num_layers": 19, "num_single_layers": 38, "num_attention_heads": 24,
    "attention_head_dim": 128, "in_channels": 64, "joint_attention_dim": 4096, "pooled_projection_dim": 768,
    "guidance_embeds": False,
}  # fmt: skip
LTX: Config = {
    "class": "LTXVideoTransformer3DModel", "num_layers": 28, "num_attention_heads": 32, "attention_head_dim": 64,
    "in_channels": 128, "cross_attention_dim": 2048, "caption_channels": 4096,
}  # fmt: skip
WAN: Config = {
    "class": "WanTransformer3DModel", "num_layers": 30, "num_attention_heads": 12, "attention_head_dim": 128,
    "in_channels": 16, "ffn_dim": 8960, "text_dim": 4096, "freq_dim": 256, "patch_size": [1, 2, 2],
}  # fmt: skip
LLAMA_8B: Config = {
    "class": "LlamaForCausalLM", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
}  # fmt: skip

TINY: Config = {  # the classes are in tiny
    "text": {"words": {"class": "Words", "length": 16, "vocab_size": 512, "width": 64, "depth": 2}},
    "denoise": {"class": "DiT", "width": 64, "depth": 4, "heads": 2, "prompt_width": 64},
    "vae": {"class": "VAE", "encoder": [3, 8, 16, 16], "decoder": [16, 16, 8, 8]},
}

# By family: the text encoders in the order their outputs are joined, the denoiser, the VAE.
# 'length' is how many tokens the model's own pipeline pads a prompt to.
ARCHITECTURES: dict[str, Config] = {
    "sdxl": {"text": {"clip_l": CLIP_L, "clip_big_g": CLIP_BIG_G}, "denoise": SDXL_UNET, "vae": VAE},
    "sd35-medium": {
        "text": {"clip_l": CLIP_L_PROJECTED, "clip_big_g": CLIP_BIG_G, "t5": {**T5_XXL, "length": 256}},
        "denoise": SD35_MEDIUM,
        "vae": VAE_16,
    },
    "flux-schnell": {"text": {"clip_l": CLIP_L, "t5": {**T5_XXL, "length": 256}}, "denoise": FLUX, "vae": VAE_16},
    "flux-dev": {"text": {"clip_l": CLIP_L, "t5": T5_XXL}, "denoise": {**FLUX, "guidance_embeds": True}, "vae": VAE_16},
    "ltx-video": {"text": {"t5": {**T5_XXL, "length": 128}}, "denoise": LTX, "vae": {"class": "AutoencoderKLLTXVideo"}},
    "wan-1.3b": {"text": {"umt5": UMT5_XXL}, "denoise": WAN, "vae": {"class": "AutoencoderKLWan"}},
    "chat-8b": {"llama": LLAMA_8B},
    "tiny": TINY,
}


def merged(base: Config, changes: Config) -> Config:
    """`base` with `changes` put over it, nested dictionaries included."""
    return {**base, **{k: merged(base[k], v) if isinstance(base.get(k), dict) else v for k, v in changes.items()}}
