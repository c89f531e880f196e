"""Random diffusion models in the published format, small enough for a test."""

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
    """``sd``, ``sdxl``, ``openpose``, ``depth``, ``adapter``, ``openpose_xl``, ``adapter_xl``."""
    torch.manual_seed(0)
    _stable(folder / "sd")
    _stable_xl(folder / "sdxl")
    for name in ("openpose", "depth"):
        _control(WIDTH).save_pretrained(folder / name)
    _control(2 * WIDTH, **_XL).save_pretrained(folder / "openpose_xl")
    for name, kind in (("adapter", "full_adapter"), ("adapter_xl", "full_adapter")):
        adapter = T2IAdapter(
            in_channels=3, channels=[32, 64], num_res_blocks=1, downscale_factor=2,
            adapter_type=kind,
        )  # fmt: skip
        adapter.save_pretrained(folder / name)
    return folder


_XL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + WIDTH,
}


def _unet(cross, **more):
    return UNet2DConditionModel(
        sample_size=32, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8,
        cross_attention_dim=cross, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **more,
    )  # fmt: skip


def _control(cross, **more):
    control = ControlNetModel(
        block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8,
        cross_attention_dim=cross, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        conditioning_embedding_out_channels=(16, 32), **more,
    )  # fmt: skip
    for layer in [*control.controlnet_down_blocks, control.controlnet_mid_block]:
        torch.nn.init.normal_(layer.weight, std=0.3)  # fresh ones are 0: they would do nothing
    for layer in control.controlnet_cond_embedding.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.1)
    return control


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


def _words(kind=CLIPTextModel):
    return kind(
        CLIPTextConfig(
            hidden_size=WIDTH, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
            vocab_size=514, projection_dim=WIDTH, eos_token_id=511, bos_token_id=510,
        )
    )  # fmt: skip


def _stable(folder):
    eye = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
            image_size=32, patch_size=8, projection_dim=WIDTH,
        )
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=_vae(), text_encoder=_words(), tokenizer=_tokenizer(), unet=_unet(WIDTH),
        scheduler=DDIMScheduler(), safety_checker=None, feature_extractor=CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ), image_encoder=eye, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip


def _stable_xl(folder):
    StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_words(), text_encoder_2=_words(CLIPTextModelWithProjection),
        tokenizer=_tokenizer(), tokenizer_2=_tokenizer(), unet=_unet(2 * WIDTH, **_XL),
        scheduler=DDIMScheduler(),
    ).save_pretrained(folder)  # fmt: skip


def save_image_prompt(folder):
    """An IP-Adapter's file for ``sd``: four tokens, two cross-attentions."""
    folder.mkdir(parents=True)
    layers = {}
    unet = _unet(WIDTH)
    widths = [
        module.to_q.in_features for name, module in unet.named_modules() if name.endswith("attn2")
    ]
    for number, width in enumerate(widths):
        layers[f"{2 * number + 1}.to_k_ip.weight"] = torch.randn(width, WIDTH) * 0.1
        layers[f"{2 * number + 1}.to_v_ip.weight"] = torch.randn(width, WIDTH) * 0.1
    image = {
        "proj.weight": torch.randn(4 * WIDTH, WIDTH) * 0.1, "proj.bias": torch.zeros(4 * WIDTH),
        "norm.weight": torch.ones(WIDTH), "norm.bias": torch.zeros(WIDTH),
    }  # fmt: skip
    torch.save({"image_proj": image, "ip_adapter": layers}, folder / "ip.bin")
