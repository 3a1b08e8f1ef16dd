"""Folders of tiny models, written once."""

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
