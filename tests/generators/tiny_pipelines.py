"""Tiny diffusion models with random weights, in the published format."""

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    T2IAdapter,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

WIDTH = 32


def make_pipelines(folder):
    """Save base models ``sd`` and ``sdxl`` and their control networks to subfolders.

    Control networks: ``openpose``, ``depth`` and ``adapter``; ``openpose_xl`` and ``adapter_xl``.
    """
    torch.manual_seed(0)
    _save_sd(folder / "sd")
    _save_sdxl(folder / "sdxl")
    for name in ("openpose", "depth"):
        _control(WIDTH, _SD).save_pretrained(folder / name)
    _control(2 * WIDTH, _SDXL, **_TIME).save_pretrained(folder / "openpose_xl")
    T2IAdapter(
        in_channels=3, channels=[32, 64], num_res_blocks=1, downscale_factor=2,
        adapter_type="full_adapter",
    ).save_pretrained(folder / "adapter")  # fmt: skip
    T2IAdapter(
        in_channels=3, channels=[16, 32, 32, 32], num_res_blocks=1, downscale_factor=4,
        adapter_type="full_adapter_xl",
    ).save_pretrained(folder / "adapter_xl")  # fmt: skip
    return folder


_TIME = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + WIDTH,
}
_SD = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
}
_SDXL = {
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
}


def _unet(cross_attention_dim, blocks, **options):
    up = [name.replace("Down", "Up") for name in reversed(blocks["down_block_types"])]
    return UNet2DConditionModel(
        sample_size=32, layers_per_block=1, norm_num_groups=8,
        cross_attention_dim=cross_attention_dim, attention_head_dim=8,
        up_block_types=tuple(up), **blocks, **options,
    )  # fmt: skip


def _control(cross_attention_dim, blocks, **options):
    network = ControlNetModel(
        layers_per_block=1, norm_num_groups=8,
        cross_attention_dim=cross_attention_dim, attention_head_dim=8,
        conditioning_embedding_out_channels=(16, 32), **blocks, **options,
    )  # fmt: skip
    for layer in [*network.controlnet_down_blocks, network.controlnet_mid_block]:
        torch.nn.init.normal_(layer.weight, std=0.3)  # the default, 0, has no effect
    for layer in network.controlnet_cond_embedding.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.1)
    return network


def _vae():
    return AutoencoderKL(
        block_out_channels=(16, 32), norm_num_groups=8, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


def _tokenizer():
    symbols = [chr(n) for n in range(33, 127)] + [chr(n) for n in range(161, 323)]
    names = [*symbols, *(f"{s}</w>" for s in symbols), "<|startoftext|>", "<|endoftext|>"]
    vocab = {name: n for n, name in enumerate(names)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def _text_encoder(cls=CLIPTextModel):
    return cls(
        CLIPTextConfig(
            hidden_size=WIDTH, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
            vocab_size=514, projection_dim=WIDTH, eos_token_id=511, bos_token_id=510,
        )
    )  # fmt: skip


def _save_sd(folder):
    """Save Stable Diffusion; like the published one, it has no image encoder."""
    StableDiffusionPipeline(
        vae=_vae(), text_encoder=_text_encoder(), tokenizer=_tokenizer(), unet=_unet(WIDTH, _SD),
        scheduler=DDIMScheduler(), safety_checker=None, feature_extractor=CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ), requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip


def _save_sdxl(folder):
    StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_text_encoder(),
        text_encoder_2=_text_encoder(CLIPTextModelWithProjection),
        tokenizer=_tokenizer(), tokenizer_2=_tokenizer(),
        unet=_unet(2 * WIDTH, _SDXL, **_TIME), scheduler=DDIMScheduler(),
    ).save_pretrained(folder)  # fmt: skip


def save_image_prompts(folder):
    """Save IP-Adapters of four tokens for ``sd`` and ``sdxl``, in the layout of h94/IP-Adapter."""
    torch.manual_seed(0)
    _save_image_prompt(folder / "models", "ip-adapter_sd15", _unet(WIDTH, _SD))
    unet = _unet(2 * WIDTH, _SDXL, **_TIME)
    _save_image_prompt(folder / "sdxl_models", "ip-adapter_sdxl", unet)
    return folder


def _save_image_prompt(folder, name, unet):
    token_width = unet.config.cross_attention_dim
    CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
            image_size=32, patch_size=8, projection_dim=WIDTH,
        )
    ).save_pretrained(folder / "image_encoder")  # fmt: skip
    weights = {
        "image_proj.proj.weight": torch.randn(4 * token_width, WIDTH) * 0.1,
        "image_proj.proj.bias": torch.zeros(4 * token_width),
        "image_proj.norm.weight": torch.ones(token_width),
        "image_proj.norm.bias": torch.zeros(token_width),
    }  # fmt: skip
    names = [name for name in unet.attn_processors if "attn2" in name]
    for number, processor in enumerate(names):
        width = unet.get_submodule(processor.removesuffix(".processor")).to_q.in_features
        for side in "kv":
            key = f"ip_adapter.{2 * number + 1}.to_{side}_ip.weight"
            weights[key] = torch.randn(width, token_width) * 0.1
    save_file(weights, folder / f"{name}.safetensors")
