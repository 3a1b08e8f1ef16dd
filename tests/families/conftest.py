"""Tiny models and what hangs on them, written once."""

import pytest


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The folder of each tiny model, written once."""
    from tests.families import tiny

    root, made = tmp_path_factory.mktemp("models"), {}

    def folder(name):
        if name not in made:
            made[name] = tiny.save(getattr(tiny, name)(), root / name)
        return made[name]

    return folder


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """A folder for what hangs on the models."""
    return tmp_path_factory.mktemp("hanging")


@pytest.fixture(scope="session")
def plain(folders):
    """The picture of each model with nothing on it, made once."""
    from tests.families import hanging

    made = {}

    def picture(family):
        if family not in made:
            made[family] = hanging.ours(folders(family), family, hanging.NOTHING)
        return made[family]

    return picture


@pytest.fixture(scope="session")
def nets(root):
    """Two ControlNets for each U-Net, each with the picture that it follows."""
    from tests.families import hanging

    made = {}

    def pair(family):
        if family not in made:
            networks = [hanging.unet_controlnet(family, seed) for seed in (21, 31)]
            for i, network in enumerate(networks):
                network.save_pretrained(root / f"{family}-net-{i}")
            hints = [hanging.picture(root / f"{family}-hint-{i}.png", 40 + i) for i in range(2)]
            made[family] = networks, [root / f"{family}-net-{i}" for i in range(2)], hints
        return made[family]

    return pair


@pytest.fixture(scope="session")
def encoder(root):
    """A tiny CLIP image encoder, in memory and in its folder."""
    import torch
    from tests.families import tiny
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(50)
    sizes = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 16}
    config = CLIPVisionConfig(**sizes, projection_dim=24, image_size=32, patch_size=8, hidden_act="gelu")
    network = tiny.shaken(CLIPVisionModelWithProjection(config), 50)
    network.save_pretrained(root / "image_encoder")
    return network, root / "image_encoder"
