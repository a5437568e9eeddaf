"""Latency: which prompts are timed, what is made of the samples, and that the clock times what the decoder does."""

import itertools
import statistics
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import at_work

from pytest_ftbench import lab
from pytest_ftbench.grid import MethodSpec
from pytest_ftbench.grid.latency import p95
from pytest_ftbench.ml.adapters import peft_config
from pytest_ftbench.ml.base import load_tokenizer, load_weights
from pytest_ftbench.ml.generate import Decoder
from pytest_ftbench.ml.latency import latency_summary, strided, time_answers
from pytest_ftbench.ml.latency_fast import time_fast
from pytest_ftbench.ml.prompts import Renderer
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch


@given(count=st.integers(0, 5000), wanted=st.integers(1, 300))
def test_strided_indices_are_distinct_sorted_in_range_and_evenly_spread(count, wanted):
    found = strided(count, wanted)
    assert len(found) == min(count, wanted)
    assert found == sorted(set(found))
    assert all(0 <= index < count for index in found)
    assert found[:1] == [0][:count]
    gaps = [after - before for before, after in itertools.pairwise([*found, count])]
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


def test_strided_takes_every_third_of_nine():
    assert strided(9, 3) == [0, 3, 6]
    assert strided(3, 9) == [0, 1, 2]
    assert strided(10, 4) == [0, 2, 5, 7]


TIMED = {"samples": [1.0, 3.0, 2.0, 10.0], "ttft": [0.2, 0.5, 0.4, 0.3], "tokens": [5, 26, 1, 98]}


def test_a_summary_holds_the_statistics_of_its_samples():
    summary = latency_summary(TIMED)
    assert summary["mean"] == 4.0
    assert summary["median"] == 2.5
    assert summary["stddev"] == pytest.approx(statistics.stdev([1, 3, 2, 10]))
    assert summary["n"] == 4
    assert summary["ttft_median"] == pytest.approx(0.35)
    assert {key: summary[key] for key in TIMED} == TIMED
    assert set(summary) == {
        *("mean", "median", "stddev", "p95", "n", "ttft_median", "tpot_median"),
        *("samples", "ttft", "tpot", "tokens"),
    }


def test_the_95th_percentile_lies_between_the_two_samples_beside_it():
    # 0.95 of the way from the first of four to the last is 0.85 of the way from the third to the last
    assert latency_summary(TIMED)["p95"] == pytest.approx(3 + 0.85 * (10 - 3))
    assert p95([1.0, 2.0]) == pytest.approx(1.95)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60))
def test_the_95th_percentile_is_numpys(samples):
    assert p95(samples) == pytest.approx(np.percentile(samples, 95), rel=1e-9, abs=1e-300)


def test_time_per_output_token_is_what_follows_the_first_token_over_the_tokens_that_follow_it():
    # (1 - .2) / 4 = .2, (3 - .5) / 25 = .1, one token: none follows, (10 - .3) / 97 = .1
    assert latency_summary(TIMED)["tpot_median"] == pytest.approx(0.1)
    assert latency_summary(TIMED)["tpot"] == [pytest.approx(0.2), pytest.approx(0.1), None, pytest.approx(0.1)]
    assert latency_summary({"samples": [1.0], "ttft": [0.2], "tokens": [5]})["tpot_median"] == pytest.approx(0.2)


def test_where_no_answer_has_a_second_token_there_is_no_time_per_token():
    summary = latency_summary({"samples": [1.0, 2.0], "ttft": [0.9, 1.9], "tokens": [1, 1]})
    assert summary["tpot_median"] is None
    assert summary["tpot"] == [None, None]
    assert summary["median"] == 1.5


def test_one_sample_has_no_deviation_and_none_have_no_summary():
    one = latency_summary({"samples": [1.5], "ttft": [0.5], "tokens": [3]})
    assert one["stddev"] is one["p95"] is None
    assert latency_summary({"samples": [], "ttft": [], "tokens": []}) == {}


def test_a_fixed_length_has_a_summary_of_its_own():
    fixed = {"samples": [0.9, 1.1], "ttft": [0.1, 0.1], "tokens": [9, 9], "new_tokens": 9}
    summary = latency_summary(TIMED | {"fixed": fixed, "peak_memory_gib": {}})
    assert summary.pop("fixed") == latency_summary(fixed)
    assert summary == latency_summary(TIMED)
    assert latency_summary(fixed)["new_tokens"] == 9
    assert latency_summary(fixed)["tpot_median"] == pytest.approx(0.1125)


def test_the_fast_mode_has_a_summary_of_its_own_or_says_why_it_has_none():
    fast = {"samples": [0.2, 0.3], "ttft": [0.1, 0.1], "tokens": [9, 9]}
    fixed = fast | {"new_tokens": 9}
    summary = latency_summary(TIMED | {"fast": fast | {"fixed": fixed}})
    assert summary.pop("fast") == latency_summary(fast) | {"fixed": latency_summary(fixed)}
    assert summary == latency_summary(TIMED)
    assert latency_summary(TIMED | {"fast": {"why": "no GPU"}})["fast"] == {"why": "no GPU"}


def test_on_a_cpu_the_fast_mode_is_not_offered(decoder, prompts):
    timed = time_fast(decoder, prompts, 1, None, print)
    assert "no GPU" in timed["fast"]["why"]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.floats(1e-3, 1), st.integers(2, 1000)).map(
            lambda one: (one[0] + (one[2] - 1) * one[1], one[0], one[2])
        ),
        min_size=1,
        max_size=9,
    )
)
def test_the_median_time_per_token_lies_between_the_fastest_and_the_slowest(each):
    samples, ttft, tokens = (list(values) for values in zip(*each, strict=True))
    tpot = [(seconds - first) / (count - 1) for seconds, first, count in each]
    found = latency_summary({"samples": samples, "ttft": ttft, "tokens": tokens})["tpot_median"]
    assert min(tpot) <= found <= max(tpot)


@pytest.fixture(scope="module")
def decoder(model_folder, runtime):
    with at_work():
        return Decoder(load_weights(model_folder, runtime), load_tokenizer(model_folder), 6)


@pytest.fixture(scope="module")
def prompts(decoder):
    task, renderer = get_task("squad"), Renderer(decoder.tokenizer, "off")
    return [renderer.prompt(task.messages(row)) for row in lab.rows("squad", "train", 5)]


@pytest.mark.parametrize("warmup", [0, 2, 9])
def test_each_prompt_is_timed_once_after_the_warm_up(decoder, prompts, runtime, warmup):
    calls = []
    hook = decoder.model.model.register_forward_pre_hook(
        lambda module, _, given: calls.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    with at_work():
        start = time.perf_counter()
        timed = time_answers(decoder, prompts, warmup, runtime)
        whole = time.perf_counter() - start
    hook.remove()
    assert {key: len(values) for key, values in timed.items()} == {"samples": 5, "ttft": 5, "tokens": 5, "texts": 5}
    assert all(0 < first < seconds for seconds, first in zip(timed["samples"], timed["ttft"], strict=True))
    assert sum(timed["samples"]) < whole
    # a prompt is read whole each time it is answered, and once before for the kernels of its shape
    assert sum(length > 1 for length in calls) == 2 * 5 + min(warmup, 5)


def test_the_timed_answers_are_those_the_decoder_gives(decoder, prompts, runtime):
    with at_work():
        timed = time_answers(decoder, prompts, 1, runtime)
        answers = decoder.answers(prompts, 5, print)
    assert timed["tokens"] == [answer.tokens for answer in answers]
    assert timed["texts"] == [answer.text for answer in answers]


def test_the_clock_sees_a_slow_prompt_and_slow_tokens_apart(decoder, prompts, runtime):
    pause = 0.05
    read_slowly, write_slowly = (
        lambda module, _, given: time.sleep(pause * (given["input_ids"].shape[1] > 1)),
        lambda module, _, given: time.sleep(pause * (given["input_ids"].shape[1] == 1)),
    )
    found = []
    for hook in (read_slowly, write_slowly):
        handle = decoder.model.model.register_forward_pre_hook(hook, with_kwargs=True)
        with at_work():
            timed = time_answers(decoder, prompts[:2], 0, runtime)
        handle.remove()
        found.append((latency_summary(timed), timed["tokens"]))
    (slow_prompt, _), (slow_tokens, tokens) = found
    assert tokens == [6, 6]
    assert slow_prompt["ttft_median"] > pause > slow_prompt["tpot_median"]
    assert slow_tokens["tpot_median"] > pause
    assert slow_tokens["median"] > 5 * pause


def eager_to_stop(model_folder, runtime, adapter):
    """A decoder whose every token ends the answer, of a plain model or of one with an adapter beside its weights."""
    with at_work():
        model = load_weights(model_folder, runtime)
        model.generation_config.eos_token_id = list(range(model.config.vocab_size))
        if adapter:
            from peft import get_peft_model

            model = get_peft_model(model, peft_config(MethodSpec("lora", (2,)), 2, 1))
        return Decoder(model, load_tokenizer(model_folder), 6)


@pytest.mark.parametrize("adapter", [False, True])
def test_at_a_fixed_length_every_answer_has_it_also_where_the_model_would_stop(model_folder, runtime, prompts, adapter):
    decoder, made = eager_to_stop(model_folder, runtime, adapter), []
    whole = decoder.model.generate
    decoder.model.generate = lambda **given: made.append(whole(**given)) or made[-1]
    with at_work():
        natural = time_answers(decoder, prompts, 1, runtime)
        made.clear()
        # longer than the decoder's own budget
        fixed = time_answers(decoder, prompts, 1, runtime, new_tokens=9)
    assert natural["tokens"] == [1] * 5
    assert fixed["tokens"] == [9] * 5
    assert fixed["new_tokens"] == 9
    lengths = [len(decoder.encode([prompt])["input_ids"][0]) for prompt in prompts]
    assert [len(answer[0]) for answer in made[-5:]] == [length + 9 for length in lengths]
    assert all(0 < first < seconds for seconds, first in zip(fixed["samples"], fixed["ttft"], strict=True))


def test_a_fixed_length_leaves_the_decoder_as_it_was(decoder, prompts, runtime):
    with at_work():
        before = decoder.answers(prompts, 5, print)
        time_answers(decoder, prompts[:2], 0, runtime, new_tokens=9)
        assert decoder.answers(prompts, 5, print) == before


@pytest.fixture
def slow_say():
    """Takes lines, at a fifth of a second each, and keeps them."""

    def say(line):
        say.lines.append(line)
        time.sleep(0.2)

    say.lines = []
    return say


def test_progress_between_answers_costs_them_nothing(decoder, prompts, runtime, monkeypatch, slow_say):
    monkeypatch.setattr("pytest_ftbench.ml.countdown._SECONDS_BETWEEN_LINES", 0.0)
    with at_work():
        timed = time_answers(decoder, prompts, 1, runtime, slow_say)
        time_answers(decoder, prompts[:2], 0, runtime, slow_say, new_tokens=3)
    assert [line.partition(",")[0] for line in slow_say.lines] == [
        "warmed up with 1 of 1 answers",
        *(f"timed {count} of 5 answers" for count in range(1, 6)),
        *(f"timed {count} of 2 answers of 3 tokens" for count in (1, 2)),
    ]
    assert all(line.endswith(" s left") and "\n" not in line for line in slow_say.lines)
    assert max(timed["samples"]) < 0.2


def test_a_quick_cell_says_nothing(decoder, prompts, runtime):
    said = []
    with at_work():
        time_answers(decoder, prompts, 2, runtime, said.append)
    assert said == []
