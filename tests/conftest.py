"""Fixtures that several test modules share: the machine, and a tiny model with random weights."""

import pytest


@pytest.fixture(scope="session")
def runtime():
    """The processor of this machine, in float32."""
    from pytest_ftbench.ml.runtime import Runtime

    return Runtime.choose("cpu", "float32")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """The folder of a tiny model with random weights, made once."""
    from models import make_folder

    return make_folder(tmp_path_factory.mktemp("model"))
