from pathlib import Path

from pytest_ftbench.ml import material

# what they do reaches a key by what they yield: rows and models by their content, material by the keys themselves;
# countdown, inspection, outlay and remedies only speak; context, finite, model_files and template_probe only refuse;
# stored only reads what others made
BY_CONTENT = {"__init__", "countdown", "hub", "inspection", "material", "model_files", "pretrain", "rows", "scratch"}
BY_CONTENT |= {"context", "finite", "outlay", "remedies", "row_files", "row_shares", "stored", "template_probe"}


def test_every_module_that_decides_a_number_is_part_of_a_key():
    keyed = {*material._SHARED, *material._STEPS, *material._PLANNING, *material._ENGINES}
    keyed |= {"engine_vllm", "targets", "generate", "probe", "latency", "latency_fast", "memory", "neighbours"}
    keyed |= {"timing", "record", "embedder", "hygiene", "judge", "sweep", "trainer"}
    modules = {path.stem for path in Path(material.__file__).parent.glob("*.py")}
    assert modules == keyed | BY_CONTENT
    assert not keyed & BY_CONTENT


def test_the_digests_of_code_change_with_any_of_their_modules(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "_HERE", tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    before = material._code("one", "two")
    assert material._code("two", "one") == before
    (tmp_path / "two.py").write_text("x = 2\n")
    assert material._code("one", "two") != before


def test_what_finds_rows_that_are_alike_makes_no_trial_anew():
    given = {path.stem for path in material._TRIAL_SOURCES}
    assert {"embedder", "judge", "sweep", "squad", "boxed", "similarity"} <= given
    assert not {"overlap", "record", "hygiene"} & given
    # both of that name: who sweeps, and the grid's, which says what a trial is
    assert [path.parent.name for path in material._TRIAL_SOURCES if path.stem == "sweep"] == ["ml", "grid"]
