import pytest
from plugin_project import CELLS, SUITE, Project


@pytest.fixture
def project(pytester):
    return Project(pytester, pytester.path / "cache")


def test_each_cell_is_one_item_under_its_id(project):
    ids = project.collect()
    assert len(ids) == CELLS
    assert {"nano-base-to-arc", "nano-nopeft-squad-to-arc", "nano-lora-r2-squad-to-squad"} <= set(ids)


def test_k_selects_by_words_of_the_id(project):
    assert project.collect("-k", "squad and nopeft") == [
        "nano-nopeft-arc-to-squad",
        "nano-nopeft-squad-to-arc",
        "nano-nopeft-squad-to-squad",
    ]


@pytest.mark.parametrize(
    ("expression", "ids"),
    [
        ("cell(train='squad', method='lora')", ["nano-lora-r2-squad-to-arc", "nano-lora-r2-squad-to-squad"]),
        ("cell(method='base', eval='arc')", ["nano-base-to-arc"]),
        ("cell(rank=2, train='arc', eval='squad')", ["nano-lora-r2-arc-to-squad"]),
        ("cell(model='nano', train=None, eval='squad')", ["nano-base-to-squad"]),
    ],
)
def test_the_marker_selects_exactly(project, expression, ids):
    assert project.collect("-m", expression) == ids


def test_several_seeds_give_a_suffix_and_leave_the_base_alone(project):
    ids = project.collect("--ftbench-seeds", "2", "-k", "to-arc")
    assert [name for name in ids if "base" in name] == ["nano-base-to-arc"]
    assert {"nano-nopeft-arc-to-arc-s0", "nano-nopeft-arc-to-arc-s1"} <= set(ids)


def test_a_wrong_suite_is_one_sentence_at_collection_with_file_key_and_fix(project):
    project.write(SUITE.replace("[evaluation]", "[evaluation]\nbatchsize = 3"))
    outcome = project.run()
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    said = [line for line in outcome.outlines if "batchsize" in line]
    assert said
    assert all("suite.toml" in line and "batch_size" in line for line in said)
    outcome.stdout.no_fnmatch_line("*Traceback*")
    outcome.stdout.no_fnmatch_line("*suite_file.py*")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--ftbench-suite", "nowhere"), ("nowhere", "known are", "embedded")),
        (("--ftbench-suite", "nowhere.toml"), ("nowhere.toml", "can't be read")),
        (("--ftbench-data", "./nowhere"), ("nowhere", "is no folder")),
        (("--ftbench-model", "./nowhere"), ("nowhere", "is no folder")),
        (("--ftbench-samples", "0"), ("--ftbench-samples", "at least 1")),
    ],
)
def test_a_wrong_option_is_one_sentence_at_collection(project, arguments, words):
    outcome = project.run(*arguments)
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    assert any(all(word in line for word in words) for line in outcome.outlines)
    outcome.stdout.no_fnmatch_line("*Traceback*")


def test_an_empty_data_folder_names_the_missing_file(project):
    (project.pytester.path / "data").mkdir()
    outcome = project.run("--ftbench-data", "data")
    outcome.stdout.fnmatch_lines(["*train-ai2_arc.parquet: is missing*"])


def test_a_module_names_its_own_suite_beside_itself(project):
    project.write(SUITE.replace('eval = ["arc", "squad"]', 'eval = ["arc"]'))
    project.pytester.makepyfile(
        test_cells="""
        import pytest
        pytestmark = pytest.mark.ftbench(suite="suite.toml")
        def test_mine(cell):
            pass
        """
    )
    assert len(project.collect(suite=None)) == 1 + 2 * 2


def test_the_configuration_names_a_suite(project):
    project.pytester.makeini("[pytest]\nftbench_suite = suite.toml")
    assert len(project.collect(suite=None)) == CELLS


def test_without_a_word_the_embedded_suite_runs(project):
    assert "nano-lora-r8-squad-to-openmath" in project.collect(suite=None)


def test_a_cell_fixture_of_another_kind_is_left_alone(project):
    project.pytester.makepyfile(
        test_cells="""
        import pytest
        @pytest.fixture
        def cell():
            return "prison"
        def test_own_fixture(cell):
            assert cell == "prison"
        @pytest.mark.parametrize("result", [1, 2])
        def test_own_parameter(result):
            assert result in (1, 2)
        """
    )
    project.run(suite=None).assert_outcomes(passed=3)


def test_a_result_that_a_hook_parametrizes_is_left_alone(project):
    project.pytester.makeconftest(
        """
        def pytest_generate_tests(metafunc):
            if "result" in metafunc.fixturenames:
                metafunc.parametrize("result", [1, 2])
        """
    )
    project.pytester.makepyfile(test_cells="def test_mine(result):\n    assert result in (1, 2)\n")
    project.run(suite=None).assert_outcomes(passed=2)


def test_a_fixture_asked_for_at_run_time_says_where_to_ask_instead(project):
    project.pytester.makepyfile(test_cells="def test_mine(request):\n    request.getfixturevalue('result')\n")
    outcome = project.run()
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(["*are arguments of a test function*"])


def test_help_lists_every_option_in_its_group(project):
    outcome = project.run("--help", suite=None)
    names = (
        "suite",
        "model",
        "data",
        "samples",
        "seeds",
        "recipe",
        "reasoning",
        "device",
        "dtype",
        "cache",
        "json",
        "from",
    )
    names += ("baseline", "retime", "compare-fail", "gate")
    for name in names:
        outcome.stdout.fnmatch_lines([f"*--ftbench-{name}*"])


def test_another_model_takes_the_place_of_the_suites_model(project):
    folder = project.pytester.path / "My Model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "tokenizer.json").write_text("{}")
    ids = project.collect("--ftbench-model", "My Model", "-k", "base")
    assert ids == ["my-model-base-to-arc", "my-model-base-to-squad"]


def test_a_model_folder_with_pickled_weights_only_is_refused(project):
    folder = project.pytester.path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"")
    project.run("--ftbench-model", "pickled").stdout.fnmatch_lines(["*has no *.safetensors*"])


def test_an_embedder_that_is_none_is_refused_before_anything_runs(project):
    folder = project.pytester.path / "words"
    folder.mkdir()
    project.write(SUITE + 'embedder = "./words"\n')
    project.run().stdout.fnmatch_lines(["*words: has no modules.json; name a folder that sentence-transformers saved*"])
    project.write(SUITE + 'embedder = "./sentences"\n')
    project.run().stdout.fnmatch_lines(
        ["*sentences: is no folder; name a sentence-transformers model or bag-of-words*"]
    )


def test_items_are_listed_also_where_no_cache_can_be_and_a_run_says_so_at_once(project):
    project.cache.write_text("")
    assert len(project.collect()) == CELLS
    outcome = project.run()
    assert outcome.ret == pytest.ExitCode.INTERRUPTED
    outcome.stdout.fnmatch_lines(["*cache: can't be used as cache*"])
