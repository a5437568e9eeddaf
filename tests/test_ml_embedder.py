"""Cosines of sentence embeddings, by a real model with random weights: as by hand, named in records, part of keys."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from models import FAST

from pytest_ftbench.analysis import Standing, learning_curves
from pytest_ftbench.grid import DataSpec, EvaluationSpec, MethodSpec, ModelSpec, Suite, UserError
from pytest_ftbench.ml import workbench
from pytest_ftbench.ml.embedder import Embedder, check_embedder
from pytest_ftbench.ml.runtime import at_work
from pytest_ftbench.ml.workbench import Workbench
from pytest_ftbench.store import Store
from pytest_ftbench.tasks import get_task

pytestmark = pytest.mark.torch

FACTS = get_task("facts")
ROWS = [
    {"question": f"Where did {name} study?", "answer": f"{name} studied {subject} at Marsa College."}
    for name, subject in (("Arel", "law"), ("Mira", "geology"), ("Bel", "law"), ("Tal", "music"), ("Oro", "law"))
]
WORDS = sorted({word.strip("?.").lower() for row in ROWS for text in row.values() for word in text.split()})


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    """The folder of a sentence-transformers model: a tiny random BERT whose tokens' mean is the embedding."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("embedder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    with at_work():
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=len(vocabulary), **shape)).save_pretrained(folder / "bert")
        BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)}).save_pretrained(folder / "bert")
        modules = [Transformer(str(folder / "bert")), Pooling(16)]
        SentenceTransformer(modules=modules, device="cpu").save(str(folder / "sentences"))
    return folder / "sentences"


def by_hand(folder, *texts):
    """The normalised embeddings without sentence-transformers: BERT, the mean over tokens, length 1."""
    import torch
    from transformers import BertModel, BertTokenizer

    with at_work(), torch.no_grad():
        model, tokenizer = BertModel.from_pretrained(folder), BertTokenizer.from_pretrained(folder)
        vectors = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    return [(vector / vector.norm()).double() for vector in vectors]


def copy_of(sentences, tmp_path, name="copy"):
    return shutil.copytree(sentences, tmp_path / name)


def test_cosines_are_those_computed_by_hand(sentences, runtime):
    texts = [row["answer"] for row in ROWS] + ["law", "Tal music Tal music Tal music"]
    pairs = [(one, other) for one in texts for other in texts]
    vectors = dict(zip(texts, by_hand(sentences, *texts), strict=True))
    expected = [float(vectors[one] @ vectors[other]) for one, other in pairs]
    cosines = Embedder(str(sentences), runtime).similarity(pairs)
    assert cosines == pytest.approx(expected, abs=1e-5)
    assert all(type(value) is float and -1 <= value <= 1 for value in cosines)
    assert min(cosines) < 0.99  # or there would be nothing to tell apart


def test_a_negative_cosine_stays_negative(sentences, runtime, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    # two words that point apart, and nothing else that points anywhere
    folder = copy_of(sentences, tmp_path)
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if name.startswith("embeddings.") and name.endswith("_embeddings.weight"):
            weights[name] = torch.zeros_like(weights[name])
    law, music = (5 + WORDS.index(word) for word in ("law", "music"))
    weights["embeddings.word_embeddings.weight"][law] = torch.linspace(-1, 1, 16)
    weights["embeddings.word_embeddings.weight"][music] = torch.linspace(1, -1, 16)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    embedder = Embedder(str(folder), runtime)
    (cosine,) = embedder.similarity([("law", "music")])
    assert -1 <= cosine < -0.5
    outcome = embedder.fitted(FACTS).score([r"\boxed{music}"], [{"question": "What?", "answer": "law"}])
    assert outcome["scores"] == {"cosine": cosine, "exact": 0}


def test_no_pairs_need_no_model(runtime):
    assert Embedder("/nowhere", runtime).similarity([]) == []


def test_bags_of_words_are_compared_by_the_task_itself(runtime):
    embedder = Embedder("bag-of-words", runtime)
    assert embedder.fitted(FACTS) is FACTS
    assert embedder.provenance(FACTS) == embedder.material(FACTS) == {"embedder": "bag-of-words"}
    embedder.check(FACTS)


def test_a_task_that_compares_no_texts_needs_no_embedder(runtime):
    embedder, arc = Embedder("/nowhere", runtime), get_task("arc")
    embedder.check(arc)
    assert embedder.fitted(arc) is arc
    assert (embedder.provenance(arc), embedder.material(arc)) == ({}, None)


def test_an_embedder_counts_by_its_files_and_is_called_by_its_folder(sentences, runtime, tmp_path):
    mine = Embedder(str(sentences), runtime).material(FACTS)
    assert mine["embedder"] == "sentences"
    copied = copy_of(sentences, tmp_path, "sentences")
    assert Embedder(str(copied), runtime).material(FACTS) == mine
    pooling = copied / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("mean", "max"))
    assert pooling.read_text() != (sentences / "1_Pooling" / "config.json").read_text()
    assert Embedder(str(copied), runtime).material(FACTS) != mine


def refusal(source, runtime):
    embedder = Embedder(str(source), runtime)

    def score():
        embedder.check(FACTS)
        embedder.similarity([("a", "b")])

    with pytest.raises(UserError) as caught:
        score()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_holds_another_model_is_a_sentence(model_folder, runtime, tmp_path):
    expected = f"{model_folder}: has no modules.json; name a folder that sentence-transformers saved."
    assert refusal(model_folder, runtime) == expected
    with pytest.raises(UserError, match=r"has no modules\.json"):
        check_embedder(str(model_folder))
    assert "is no folder; name a sentence-transformers model" in refusal(tmp_path / "nowhere", runtime)


@pytest.mark.parametrize("damage", ["model.safetensors", "config.json"])
def test_a_broken_model_is_a_sentence(sentences, runtime, tmp_path, damage):
    folder = copy_of(sentences, tmp_path)
    (folder / damage).write_text("{")
    said = refusal(folder, runtime)
    assert said.startswith(f"evaluation.embedder: {folder}: can't be loaded (")
    assert said.endswith("; name another or bag-of-words.")


def test_a_broken_list_of_modules_is_a_sentence(sentences, runtime, tmp_path):
    folder = copy_of(sentences, tmp_path)
    (folder / "modules.json").write_text("{")
    said = refusal(folder, runtime)
    assert said.startswith(f"{folder}/modules.json: is no JSON (")
    assert said.endswith("; name a folder that sentence-transformers saved.")


def test_pickled_weights_are_not_loaded(sentences, runtime, tmp_path):
    folder = copy_of(sentences, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert refusal(folder, runtime) == f"{folder}/pytorch_model.bin: is pickled; save the weights as safetensors."


def test_a_models_own_code_is_not_run(sentences, runtime, tmp_path):
    folder = copy_of(sentences, tmp_path)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Module: pass\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "evil.Module"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert "is 'evil.Module', whose code is not run; name a model without." in refusal(folder, runtime)
    assert not (tmp_path / "ran").exists()


def test_without_the_library_the_sentence_names_the_extra(sentences, runtime, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert refusal(sentences, runtime) == (
        f"evaluation.embedder: {sentences}: needs the library sentence-transformers; "
        'install it with pip install "pytest-ftbench[facts]".'
    )


def test_a_hub_id_out_of_reach_is_a_sentence(runtime, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = refusal("nobody/no-such-embedder", runtime)
    assert said.startswith("evaluation.embedder: nobody/no-such-embedder can't be loaded from the Hub (")


@pytest.fixture(scope="module")
def suite(tmp_path_factory, model_folder):
    folder = tmp_path_factory.mktemp("facts")
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "train-facts.jsonl").write_text(lines, encoding="utf-8")
    return Suite(
        name="tiny",
        place=Path("tiny.toml"),
        models=(ModelSpec("tiny", str(model_folder)),),
        methods=(MethodSpec("base"),),
        train_tasks=(),
        eval_tasks=("facts",),
        data=DataSpec(str(folder)),
        evaluation=EvaluationSpec(4, reasoning="off", latency_prompts=0),
    )


def test_a_cell_is_scored_by_the_suites_embedder_and_says_so(suite, sentences, runtime, tmp_path, monkeypatch):
    by_words = suite
    by_meaning = replace(suite, evaluation=replace(suite.evaluation, embedder=str(sentences)))
    (cell,) = suite.cells()
    records, trivial = [], []
    # the second is asked of the same cache: another embedder must never be served the first one's scores
    for each in (by_words, by_meaning):
        bench = Workbench(each, Store(tmp_path, print), runtime)
        records.append(bench.measure(cell))
        trivial.append(bench.trivial("facts")["most_typical_fact"])
        bench.close()
    words, meaning = records
    assert words.provenance("embedder") == "bag-of-words"
    assert meaning.provenance("embedder") == "sentences"
    assert (
        meaning.provenance("embedder_fingerprint")
        == Embedder(str(sentences), runtime).material(FACTS)["embedder_fingerprint"]
    )
    assert [item["output"] for item in words.items] == [item["output"] for item in meaning.items]
    fitted = Embedder(str(sentences), runtime).fitted(FACTS)
    answers = FACTS.trivial(ROWS)["most_typical_fact"]
    assert trivial == [FACTS.score(answers, ROWS)["scores"], fitted.score(answers, ROWS)["scores"]]
    # what is complete loads no model again
    monkeypatch.setattr(Embedder, "_load", None)
    again = Workbench(by_meaning, Store(tmp_path, print), runtime)
    assert (again.measure(cell), again.trivial("facts")["most_typical_fact"]) == (meaning, trivial[1])
    assert trivial[0]["cosine"] != trivial[1]["cosine"]
    assert trivial[0]["exact"] == trivial[1]["exact"] == 1 / len(ROWS)


@pytest.fixture
def saying(monkeypatch):
    """A function that has the models of a folder's name give these answers."""
    load, texts = workbench.load_decoder, {}

    def scripted(checkpoint, *rest):
        decoder, said = load(checkpoint, *rest), texts.get(checkpoint.folder.name, texts["end"])
        answer = decoder.answers
        decoder.answers = lambda *given: [
            replace(one, text=text) for one, text in zip(answer(*given), said, strict=True)
        ]
        return decoder

    monkeypatch.setattr(workbench, "load_decoder", scripted)
    return texts.update


def test_every_point_of_a_curve_is_scored_by_the_suites_embedder(suite, sentences, runtime, tmp_path, saying):
    curved = replace(
        suite,
        methods=(MethodSpec("nopeft"),),
        train_tasks=("facts",),
        recipe=replace(FAST, num_train_epochs=2),
        evaluation=replace(suite.evaluation, epochs=(1, 2)),
    )
    (cell,) = curved.cells()
    curves = []
    for embedder in ("bag-of-words", str(sentences)):
        each = replace(curved, evaluation=replace(curved.evaluation, embedder=embedder))
        bench = Workbench(each, Store(tmp_path, print), runtime)
        rows = bench.rows.test(FACTS)
        typical = FACTS.trivial(rows)["most_typical_fact"]
        said = {"epoch-1": typical, "end": [*map(FACTS.target, rows[:4]), typical[4]]}
        saying(said)
        record = bench.measure(cell)
        fitted = bench.embedder.fitted(FACTS)
        assert [point["epoch"] for point in record.curve] == [1, 2]
        assert [point["scores"] for point in record.curve] == [fitted.score(said[at], rows)["scores"] for at in said]
        assert record.curve[-1]["scores"] == record.scores
        # no better than the answerer that gives these very answers, by whichever embedder
        (group,) = learning_curves([record], {"facts": bench.trivial("facts")})
        assert [point.standing for point in group.curves[0].points.values()] == [Standing.TRIVIAL, Standing.OK]
        curves.append([point["scores"]["cosine"] for point in record.curve])
        bench.close()
    assert all(one != other for one, other in zip(*curves, strict=True))


@pytest.mark.parametrize("damaged", [False, True], ids=["missing", "broken"])
def test_where_the_embedder_is_no_good_nothing_is_trained_first(suite, sentences, runtime, tmp_path, damaged):
    if damaged:
        (copy_of(sentences, tmp_path, "nowhere") / "model.safetensors").write_text("{")
    trained = replace(
        suite,
        methods=(MethodSpec("nopeft"),),
        train_tasks=("facts",),
        evaluation=replace(suite.evaluation, embedder=str(tmp_path / "nowhere")),
    )
    bench = Workbench(trained, Store(tmp_path / "cache", print), runtime)
    with pytest.raises(UserError, match="can't be loaded" if damaged else "is no folder"):
        bench.measure(trained.cells()[0])
    assert not (tmp_path / "cache" / "checkpoints").exists()


def test_an_embedding_model_leaves_no_trace_in_the_process(sentences, runtime):
    import torch

    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    Embedder(str(sentences), runtime).similarity([("law", "music")])
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
