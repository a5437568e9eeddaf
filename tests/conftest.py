"""Fixtures that several test modules share: this machine, a tiny random model, a project to run cells in."""

import pytest
from plugin_project import Project, import_libraries


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


@pytest.fixture(scope="module")
def plugin_cache(tmp_path_factory):
    """One cache for a module's runs of the plugin: what was trained for one test serves the next."""
    import_libraries()
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(pytester, plugin_cache):
    """A user's project whose cells can run."""
    return Project(pytester, plugin_cache)
