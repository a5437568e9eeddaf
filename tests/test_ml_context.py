"""How many tokens a model has room for, as its configuration says."""

import json

import pytest

from pytest_ftbench import lab
from pytest_ftbench.grid import EvaluationSpec, UserError
from pytest_ftbench.ml.context import check_room, context_length, row_length


def test_the_embedded_models_say_it():
    assert {context_length(lab.model_folder(name)) for name in lab.SHAPES} == {2048}


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 512}, 512),
        ({"n_positions": 1024}, 1024),
        ({"text_config": {"max_position_embeddings": 4096}}, 4096),
        ({"max_position_embeddings": 64, "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 64}}, 256),
        ({"max_position_embeddings": 64, "rope_parameters": {"rope_theta": 1e4}}, 64),
        ({"max_position_embeddings": 64, "rope_scaling": None}, 64),
        ({"max_position_embeddings": 64, "rope_scaling": {"factor": "x", "original_max_position_embeddings": []}}, 64),
        ({"max_position_embeddings": None, "n_positions": True}, None),
        ({"max_position_embeddings": -1}, None),
        ({}, None),
        ([], None),
        ("x", None),
    ],
)
def test_a_configuration_says_it_in_several_ways_or_not_at_all(tmp_path, config, length):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context_length(tmp_path) == length
    assert row_length(tmp_path, 600) == min(length or 600, 600)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100])
def test_what_is_no_configuration_is_said_by_whoever_loads_it(tmp_path, content):
    assert context_length(tmp_path) is None
    (tmp_path / "config.json").write_bytes(content)
    assert context_length(tmp_path) is None


def test_there_is_room_for_a_question_beside_the_answer():
    nano = lab.model_folder("nano")
    check_room("suite.toml", "nano", nano, EvaluationSpec(max_new_tokens=2047))
    with pytest.raises(
        UserError, match=r"^suite\.toml: evaluation\.max_new_tokens: is 2048, and nano has room for 2048 tokens"
    ):
        check_room("suite.toml", "nano", nano, EvaluationSpec(max_new_tokens=2048))
    with pytest.raises(
        UserError, match=r"^suite\.toml: evaluation\.latency_tokens: is 3000, and nano has room for 2048 tokens"
    ):
        check_room("suite.toml", "nano", nano, EvaluationSpec(max_new_tokens=8, latency_tokens=3000))
