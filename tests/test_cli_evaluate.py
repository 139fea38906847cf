"""``minillm eval``: what it prints, writes, and ends with; and its table in ``minillm report``."""

import hashlib
import json

import pytest
from recorded_run import recorded_run, write_run
from served_model import tiny_model

from minillm_lib.evaluation.results import Evaluation, ModelScores, Score
from minillm_lib.model.checkpoint import save_checkpoint
from minillm_lib.model.decoder import MiniLLM
from minillm_lib.viz.evaluation_table import EvaluationTable


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("base", "chat")):
        tiny_model(seed).save(folder / name)
    return folder / "base", folder / "chat"


def test_models_are_compared_side_by_side_and_written(minillm, checkpoints, tmp_path):
    base, chat = checkpoints
    text = tmp_path / "notes.txt"
    text.write_text("a rose is a rose\n\nis a rose\n", encoding="utf-8")
    result = minillm(
        "eval", "--ckpt", base, "--ckpt", chat, "--tasks", "course-quiz", "--text", text, "--limit", 2,
        "-o", tmp_path / "eval.json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    head = next(line for line in result.stdout.splitlines() if "metric" in line)
    assert head.index("metric") < head.index("base") < head.index("chat")
    assert max(map(len, result.stdout.splitlines()[:-1])) <= 80
    assert "bits_per_byte" in result.stdout
    assert "chance 25.0 %" in result.stdout
    assert "notes.txt" in result.stdout
    found = json.loads((tmp_path / "eval.json").read_text(encoding="utf-8"))
    assert [model["name"] for model in found["models"]] == ["base", "chat"]
    digest = hashlib.sha256(b"a rose is a rose\n\nis a rose").hexdigest()
    assert found["settings"]["texts"] == {"notes.txt": {"documents": 1, "bytes": 27, "sha256": digest}}
    assert "lm_eval" not in result.stderr, "the harness is heard"


def test_a_text_alone_asks_no_questions_and_rows_of_a_table_are_documents(minillm, checkpoints, tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("text\na rose\nis a rose\n", encoding="utf-8")
    result = minillm("eval", "--ckpt", checkpoints[0], "--text", table, "--documents", "row")
    assert result.returncode == 0, result.stderr
    assert "course-quiz" not in result.stdout
    assert "perplexity" in result.stdout


def test_the_tasks_are_listed(minillm):
    assert "course-quiz-zh" in minillm("eval", "--list").stdout
    result = minillm("eval", "--list", "--tasks", "hellaswa?")
    assert "hellaswag" in result.stdout.splitlines()


@pytest.mark.parametrize(("arguments", "message"), [
    (("--tasks", "course-quizz"), "similar names: course-quiz"),
    (("--text", "nowhere.txt"), "nowhere.txt"),
    (("--device", "abacus"), "abacus"),
])  # fmt: skip
def test_a_mistake_ends_in_one_line(minillm, checkpoints, arguments, message):
    result = minillm("eval", "--ckpt", checkpoints[0], *arguments)
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def some_results() -> Evaluation:
    def model(name: str, right: int, bits: float) -> ModelScores:
        share = [
            Score("course-quiz", part, "acc", right / 40, 40, 0.1, 0.2, 0.25)
            for part in ("all", "en", "topics")
        ]
        text = Score(
            "text", "a.txt", "bits_per_byte", bits, 900, bits - 0.1, bits + 0.1, higher_is_better=False
        )
        answers = {str(i): i < right for i in range(40)}
        return ModelScores(name, name, {}, {}, [*share, text], right=answers)

    return Evaluation([model("base", 10, 1.5), model("chat", 30, 1.0)])


def test_the_table_says_what_differs_beyond_doubt():
    table = EvaluationTable.of(some_results())
    assert table.models == ["base", "chat"]
    assert table.rows[0][:4] == ("course-quiz", "all", "acc", "25.0 %")
    assert table.rows[0][4] == ["25.0 % (10.0–20.0)", "75.0 % (10.0–20.0)"]
    said = "\n".join(table.reading)
    assert "of 40 questions, base alone has 0 right and chat alone 20" in said
    assert "1.9e-06" in said
    assert "chat is better than base, and their intervals do not overlap, by bits_per_byte" in said
    assert "base is below chance" in said
    assert table.markdown().splitlines()[0] == "| task | part | metric | chance | base | chat | n |"


@pytest.mark.parametrize("where", ["given", "beside the run"])
def test_the_report_of_a_run_shows_an_evaluation(minillm, tmp_path, where):
    run = write_run(tmp_path / "run", recorded_run(60))
    path = some_results().save((run if where == "beside the run" else tmp_path) / "eval.json")
    options = ["--eval", path] if where == "given" else []
    result = minillm("report", run, *options)
    assert result.returncode == 0, result.stderr
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "What the models know" in page
    assert "chat alone 20" in page
    kept = minillm("report", run, "--output", tmp_path / "kept", *options)
    assert kept.returncode == 0, kept.stderr
    assert Evaluation.load(tmp_path / "kept" / "eval.json").rows() == some_results().rows()
    assert "| course-quiz | English | acc |" in (tmp_path / "kept" / "table.md").read_text(encoding="utf-8")


def test_texts_are_read_as_the_options_say(minillm, checkpoints, tmp_path):
    lines = ['{"body": "käse und brot"}', '{"body": "ein tag"}', "broken", "broken", "broken"]
    (tmp_path / "t.jsonl").write_bytes("\n".join(lines).encode("utf-16-le"))
    options = (
        "--text",
        tmp_path / "t.jsonl",
        "--documents",
        "row",
        "--text-key",
        "body",
        "--encoding",
        "utf-16-le",
    )
    result = minillm("eval", "--ckpt", checkpoints[0], *options)
    assert result.returncode == 2
    result = minillm("eval", "--ckpt", checkpoints[0], *options, "--max-faulty", "0.6")
    assert result.returncode == 0, result.stderr
    assert "perplexity" in result.stdout


def test_an_error_in_a_later_model_loses_no_results(minillm, checkpoints, tmp_path, monkeypatch):
    from minillm_lib.evaluation import running

    def fail_at_the_second(lm, *arguments, run=running._run):
        if output.exists():
            raise ValueError("the second model cannot be measured")
        return run(lm, *arguments)

    output = tmp_path / "new" / "eval.json"
    monkeypatch.setattr(running, "_run", fail_at_the_second)
    models = [option for path in checkpoints for option in ("--ckpt", path)]
    result = minillm("eval", *models, "--limit", 1, "-o", output)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("the second model cannot be measured")
    assert "chance 25.0 %" in result.stdout
    assert f"written: {output}" in result.stdout.replace("\n", "")
    assert "the evaluation is not finished; not measured: chat" in result.stderr
    assert [model.name for model in Evaluation.load(output).models] == ["base"]


def test_a_folder_is_no_output_and_that_is_said_first(minillm, checkpoints, tmp_path):
    result = minillm("eval", "--ckpt", checkpoints[0], "-o", tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("is a folder; give the name of a file")
    assert "chance" not in result.stdout


def test_a_tokenizer_can_be_given_as_the_error_says(minillm, tmp_path):
    path = tmp_path / "model.pt"
    tiny_model().save(path)
    bare = MiniLLM.load_from_checkpoint(path, tokenizer=False)
    save_checkpoint(bare, tmp_path / "bare.pt")
    tokenizer = tiny_model().tokenizer.save(tmp_path / "tokenizer")
    arguments = ("eval", "--ckpt", tmp_path / "bare.pt", "--limit", 1)
    refused = minillm(*arguments)
    assert refused.returncode == 2
    assert "--tokenizer" in refused.stderr
    for given in (tokenizer, tokenizer.parent):
        result = minillm(*arguments, "--tokenizer", given, "-o", tmp_path / "eval.json")
        assert result.returncode == 0, result.stderr
        recorded = Evaluation.load(tmp_path / "eval.json").settings["tokenizer"]
        assert recorded["path"] == str(given)
        assert recorded["files"]["tokenizer.model"] == hashlib.sha256(tokenizer.read_bytes()).hexdigest()
