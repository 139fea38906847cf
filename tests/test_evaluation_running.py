"""Evaluations from checkpoints to figures: the quiz, texts, comparisons, files, and no network."""

import copy
import hashlib
import json
import os
import socket
import sys

import datasets
import pytest
import torch
from foreign_models import save_tokenizer
from lm_eval.api.group import Group
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.config.group import AggMetricConfig
from lm_eval.tasks import TaskManager
from served_model import CONTEXT, tiny_model

from minillm_lib.evaluation import running, tasks
from minillm_lib.evaluation.harness_model import HarnessModel
from minillm_lib.evaluation.models import open_model
from minillm_lib.evaluation.quiz import quiz_questions
from minillm_lib.evaluation.results import Evaluation
from minillm_lib.evaluation.running import evaluate
from minillm_lib.evaluation.statistics import wilson_interval
from minillm_lib.evaluation.tasks import TaskDataError, UnknownTaskError, load_tasks, offline
from minillm_lib.io.optional import MissingPackageError
from minillm_lib.model.checkpoint import save_checkpoint
from minillm_lib.viz.evaluation_table import EvaluationTable

LIMIT = 12


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / "one", folder / "two"]
    for seed, path in enumerate(paths):
        tiny_model(seed).save(path)
    return paths


@pytest.fixture
def no_network(monkeypatch):
    """Every attempt to reach a host fails, and is remembered."""
    tried = []

    def refuse(*arguments, **_):
        tried.append(arguments)
        raise OSError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture(scope="module")
def evaluation(checkpoints):
    return evaluate(checkpoints, limit=LIMIT, progress=False)


def answers_by_hand(model, questions):
    """For each question, whether the likeliest answer is right: one forward pass for each answer."""
    right = []
    for question in questions:
        delimiter = " " if question.language == "en" else ""
        context = len(model.tokenizer.encode(question.prompt))
        totals = []
        for choice in question.choices:
            ids = torch.tensor(
                [model.tokenizer.encode(question.prompt + delimiter + choice)[-(CONTEXT + 1) :]]
            )
            n = len(model.tokenizer.encode(question.prompt + delimiter + choice)) - context
            with torch.no_grad():
                likelihoods = model(ids[:, :-1])[0, -n:].double().log_softmax(-1)
            totals.append(float(likelihoods.gather(1, ids[0, -n:, None]).sum()))
        right.append(totals.index(max(totals)) == question.answer)
    return right


def test_the_share_of_right_answers_is_that_of_the_likeliest_ones(evaluation, checkpoints):
    for model, seed in zip(evaluation.models, (0, 1), strict=True):
        by_id = {question.id: question for question in quiz_questions()}
        asked = [by_id[key] for key in model.right]
        assert len(asked) == 2 * LIMIT
        assert list(model.right.values()) == answers_by_hand(tiny_model(seed), asked)
        score = model.score(("course-quiz", "all", "acc"))
        n_right = sum(model.right.values())
        assert (score.value, score.n, score.chance) == (n_right / len(asked), len(asked), 0.25)
        assert (score.low, score.high) == wilson_interval(n_right, len(asked))


def test_languages_and_subjects_add_up_and_a_limit_keeps_all_subjects(evaluation):
    subjects = {question.subject for question in quiz_questions()}
    for model in evaluation.models:
        n = {score.part: score.n for score in model.scores if score.metric == "acc"}
        assert n["en"] == n["zh"] == LIMIT
        assert subjects <= n.keys()
        assert sum(n[subject] for subject in subjects) == n["all"] == 2 * LIMIT
        assert {score.metric for score in model.scores} == {"acc", "acc_bytes", "acc_mutual_info"}


def test_a_single_language_has_no_row_for_all(checkpoints):
    found = evaluate(checkpoints[:1], ["course-quiz-zh"], limit=2, progress=False)
    assert {score.part for score in found.models[0].scores} >= {"zh"}
    assert not {"all", "en"} & {score.part for score in found.models[0].scores}


def test_chat_turns_and_solved_examples_change_what_is_read(checkpoints, evaluation):
    found = evaluate(checkpoints[:1], limit=2, chat=True, n_shots=1, progress=False)
    assert found.settings["apply_chat_template"]
    assert found.models[0].notes, "questions with an example do not fit into 96 tokens, and nobody says so"


def test_local_tasks_and_texts_never_use_the_network(checkpoints, no_network):
    found = evaluate(checkpoints[:1], limit=1, texts={"t.txt": ["a rose"]}, progress=False)
    assert no_network == []
    assert {score.task for score in found.models[0].scores} == {"course-quiz", "text"}


def test_the_switch_to_offline_is_undone(monkeypatch):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    with offline():
        assert constants.HF_HUB_OFFLINE
    assert before == constants.HF_HUB_OFFLINE
    assert os.environ["HF_DATASETS_OFFLINE"] == "0"


@pytest.mark.slow
def test_a_task_whose_data_cannot_be_fetched_says_what_needs_no_network(no_network, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(TaskDataError, match=r"arc_easy cannot be loaded.*course-quiz and --text need none"):
        load_tasks(["arc_easy"], n_shots=None, chat=False)


def test_an_unknown_task_gets_similar_names():
    with pytest.raises(UnknownTaskError, match=r"'helaswag'; similar names: .*hellaswag.*--list"):
        load_tasks(["helaswag"], n_shots=None, chat=False)


def test_results_can_be_written_and_read_again(evaluation, tmp_path):
    path = evaluation.save(tmp_path / "eval.json")
    again = Evaluation.load(path)
    assert again.rows() == evaluation.rows()
    assert [model.right for model in again.models] == [model.right for model in evaluation.models]
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["models"][0]["files"].keys() >= {"model.safetensors", "config.json", "tokenizer.model"}
    assert content["made_with"].keys() >= {"python", "torch", "lm-eval", "minillm_lib", "date"}
    assert content["settings"]["limit"] == LIMIT


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 2, "models": []}', '{"format": 1}', '{"format": 1, "models": [{}]}']
)
def test_another_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"other.json: not the results of minillm eval"):
        Evaluation.load(path)


@pytest.mark.parametrize(("options", "message"), [
    ({"tasks": []}, "nothing to evaluate"),
    ({"limit": 0}, "limit is 0; allowed is a number from 1"),
    ({"n_shots": -1}, "n_shots is -1; allowed is a number from 0"),
    ({"device": "cuda:99"}, "'cuda:99' is not available"),
    ({"stride": CONTEXT + 1, "tasks": [], "texts": {"t": ["a"]}}, f"stride is {CONTEXT + 1}; .* 1 to .* {CONTEXT}"),
    ({"tasks": [], "texts": {"t": [""]}}, "no text"),
])  # fmt: skip
def test_what_cannot_be_is_refused(checkpoints, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(checkpoints[:1], **{"progress": False, **options})


def test_a_checkpoint_that_is_missing_or_given_twice_is_refused_before_anything_runs(
    checkpoints, monkeypatch
):
    monkeypatch.setattr(running, "open_model", lambda *_, **__: pytest.fail("a model was opened"))
    with pytest.raises(ValueError, match=r"nowhere: there is no checkpoint"):
        evaluate([checkpoints[0], "nowhere"])
    with pytest.raises(ValueError, match="given twice"):
        evaluate([checkpoints[0], checkpoints[0].parent / "two" / ".." / "one"])


def test_names_are_as_short_as_tells_them_apart(tmp_path):
    paths = [tmp_path / "a" / "model", tmp_path / "b" / "model"]
    assert running._short_names(paths) == ["a/model", "b/model"]
    assert running._short_names(paths[:1]) == ["model"]


def test_an_architecture_of_others_is_left_to_transformers_and_a_missing_package_is_named(
    tmp_path, monkeypatch
):
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=310)).save_pretrained(tmp_path)
    tiny_model().tokenizer.save_hugging_face(tmp_path)
    monkeypatch.delitem(sys.modules, "lm_eval.models.huggingface", raising=False)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(
        MissingPackageError, match=r"model_type is 'gpt2'.*accelerate is not installed: pip install 'lm-eval"
    ):
        open_model(tmp_path, device="cpu")


def test_an_architecture_of_others_is_evaluated(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=310, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tiny_model().tokenizer.save_hugging_face(tmp_path)
    found = evaluate([tmp_path], texts={"t": ["a rose is " * 40]}, limit=2, device="cpu", progress=False)
    (model,) = found.models
    assert model.facts["reader"].startswith("transformers (model_type is 'gpt2'")
    assert model.facts["context"] == 64
    assert model.score(("text", "t", "perplexity")).value == pytest.approx(310, rel=0.2)  # it knows nothing
    assert any("lost their beginning" in note for note in model.notes)


ROWS = [{"question": f"what is {word}?", "answer": word} for word in ("rose", "model", "topic", "is", "a")]


def local_task(name, rows=ROWS, **config):
    """A task of the harness whose data is here; by default, its answers are written."""
    data = {"custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)}, "test_split": "test"}
    words = {"doc_to_text": "{{question}}", "doc_to_target": "{{answer}}", "fewshot_split": "test"}
    written = {"output_type": "generate_until", "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4}}
    metrics = {"metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]}
    return ConfigurableTask(config={"task": name, **data, **words, **written, **metrics, **config})


def choosing(name, right):
    """A task with choices, in which the answers are right as given, whatever the model says."""
    rows = [{"question": "a rose is", "answer": int(each), "choices": ["x", "y"]} for each in right]
    return local_task(
        name,
        rows,
        output_type="multiple_choice",
        doc_to_choice="{{choices}}",
        doc_to_target="answer",
        generation_kwargs=None,
        metric_list=[{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        process_results=lambda doc, results: {"acc": float(doc["answer"])},
    )


@pytest.fixture
def harness_with(monkeypatch):
    """Give the harness these tasks and groups, by their names, and no others."""

    def give(**items):
        class Manager:
            all_tasks = tuple(items)

            def load(self, wanted):
                return TaskManager(include_defaults=False).load([items.get(each, each) for each in wanted])

        monkeypatch.setattr(tasks, "_task_manager", lambda with_defaults=True: Manager())
        return list(items)

    return give


@pytest.fixture
def asked(monkeypatch):
    """What each model is asked, in the order of the calls."""
    calls = []
    for kind in ("loglikelihood", "generate_until"):
        monkeypatch.setattr(HarnessModel, kind, _recorded(getattr(HarnessModel, kind), calls))
    return calls


def _recorded(own, calls):
    def record(self, requests, *arguments, **options):
        calls.append([request.args for request in requests])
        return own(self, requests, *arguments, **options)

    return record


@pytest.mark.parametrize("chat", [False, True])
def test_models_that_are_compared_see_the_same_solved_examples(checkpoints, asked, chat):
    found = evaluate(checkpoints, limit=4, n_shots=2, chat=chat, progress=False)
    first, second = asked
    assert first == second
    assert found.settings["num_fewshot_of_tasks"] == {"course-quiz-en": 2, "course-quiz-zh": 2}
    assert found.notes == []


def test_tasks_that_keep_to_their_own_number_of_solved_examples_are_named(
    checkpoints, asked, harness_with, tmp_path
):
    fixed = local_task("fixed", num_fewshot=0)
    whole = local_task(
        "whole", output_type="loglikelihood_rolling", doc_to_text="", generation_kwargs=None,
        metric_list=[{"metric": "bits_per_byte"}],
    )  # fmt: skip
    names = harness_with(fixed=fixed, whole=whole, free=local_task("free", num_fewshot=1))
    found = evaluate(checkpoints[:1], names, n_shots=3, progress=False)
    assert found.settings["num_fewshot_of_tasks"] == {"fixed": 0, "whole": 0, "free": 3}
    (note,) = found.notes
    assert note == "the number of solved examples is fixed, and not 3, in 2 tasks: fixed (0), whole (0)"
    n_questions = {request[0].count("what is") for call in asked for request in call}
    assert n_questions == {1, 4}
    assert Evaluation.load(found.save(tmp_path / "eval.json")).notes == found.notes
    assert evaluate(checkpoints[:1], ["fixed"], n_shots=0, progress=False).notes == []
    names = harness_with(free=local_task("free", num_fewshot=1))
    assert evaluate(checkpoints[:1], names, progress=False).settings["num_fewshot_of_tasks"] == {"free": 1}


def test_many_tasks_are_counted_and_not_all_named():
    (note,) = running._notes_on_shots({f"task-{i}": 0 for i in range(57)}, 5)
    assert "57 tasks: task-0 (0)" in note
    assert note.endswith("task-4 (0) and 52 more")


@pytest.mark.parametrize("right", [[0] * 12, [1] * 12, [1, *[0] * 11], [0, 1] * 6])
def test_shares_have_intervals_of_shares_in_tasks_and_groups(checkpoints, harness_with, right):
    """A mean of zeros and ones is a share, whether there are choices or not, and in a group too."""
    group = Group("both", aggregate_metric_list=[AggMetricConfig(metric="acc", weight_by_size=True)])
    for each in (choosing("first", right), choosing("second", right[:5])):
        group.add(each)
    written = local_task("written", [*ROWS, *ROWS, *ROWS[:2]], process_results=_in_turn(right))
    (model,) = evaluate(checkpoints[:1], harness_with(both=group, written=written), progress=False).models
    for task, answers in (("first", right), ("both", right + right[:5])):
        score = model.score((task, "all", "acc"))
        assert score.value == pytest.approx(sum(answers) / len(answers))
        assert (score.low, score.high) == pytest.approx(wilson_interval(sum(answers), len(answers)))
        assert 0 <= score.low < score.high <= 1
    score = model.score(("written", "all", "exact_match"))
    assert score.chance is None
    assert (score.low, score.high) == pytest.approx(wilson_interval(sum(right), len(right)))


def _in_turn(right):
    given = iter(right)
    return lambda doc, results: {"exact_match": next(given)}


def test_an_unweighted_mean_of_tasks_has_no_interval_beyond_0_and_1(checkpoints, harness_with):
    config = AggMetricConfig(metric="acc", weight_by_size=False)
    spread, alike = (Group(name, aggregate_metric_list=[config]) for name in ("spread", "alike"))
    for group, first, second in ((spread, [1] * 9, [0, 1]), (alike, [1] * 9, [0] * 3)):
        group.add(choosing(f"{group.name}-1", first))
        group.add(choosing(f"{group.name}-2", second))
    (model,) = evaluate(checkpoints[:1], harness_with(spread=spread, alike=alike), progress=False).models
    score = model.score(("spread", "all", "acc"))
    assert (score.value, score.high) == (0.75, 1)
    assert 0 < score.low < 0.75
    score = model.score(("alike", "all", "acc"))
    assert (score.value, score.low, score.high) == (0.5, None, None)  # errors of zero say nothing


@pytest.mark.parametrize(
    ("metric", "value", "error", "values", "expected"),
    [
        ("perplexity", 900.0, 800.0, [-3.0, -9.0], (1, 900 + 1.96 * 800)),
        ("word_perplexity", 900.0, 800.0, [(-3.0, 2), (-9.0, 1)], (1, 900 + 1.96 * 800)),
        ("bits_per_byte", 1.0, 2.0, [(-3.0, 2), (-9.0, 1)], (0, 4.92)),
        ("mcc", 0.9, 0.2, [(0, 1), (1, 1)], (0.508, 1)),
        ("rouge", 0.9, 0.2, [0.8, 1.0], (0.508, 1)),
        ("bleu", 90.0, 20.0, [("a", "b"), ("a", "c")], (50.8, 129.2)),
        ("rouge", 0.5, 0.0, [0.5, 0.5], (None, None)),
        ("rouge", 0.5, "N/A", [0.5], (None, None)),
        ("median", 1.0, 0.1, [0, 1, 1], (0.804, 1)),
    ],
)
def test_an_interval_holds_only_values_that_a_metric_can_have(metric, value, error, values, expected):
    found = running._interval(metric, value, error, values)
    assert found == (expected if expected[0] is None else pytest.approx(expected, rel=1e-3))


def test_the_harness_says_of_which_metrics_more_is_better(checkpoints, harness_with):
    metrics = [
        {"metric": name, "aggregation": "mean", "higher_is_better": better}
        for name, better in (("exact_match", True), ("overlap", True), ("distance", False))
    ]
    values = {"exact_match": 1, "overlap": 0.5, "distance": 3.0}
    task = local_task("judged", metric_list=metrics, process_results=lambda doc, results: values)
    (model,) = evaluate(checkpoints[:1], harness_with(judged=task), progress=False).models
    better = {score.metric: score.higher_is_better for score in model.scores}
    assert better == {"exact_match": True, "overlap": True, "distance": False}


def damaged(path, what):
    """A copy of a checkpoint with which something is wrong."""
    other = path.parent / f"damaged {what}"
    model = tiny_model(3)
    if what == "weights":
        model.save(other)
        weights = other / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4])
    elif what == "no tokenizer":
        save_checkpoint(without_tokenizer(model), other)
    else:
        tiny_model(3, max_seq_len=8).save(other)
    return other


def without_tokenizer(model):
    model = copy.copy(model)
    model.tokenizer = None
    return model


@pytest.mark.parametrize(("what", "message"), [
    ("weights", "damaged weights"),
    ("no tokenizer", "tokenizer"),
    ("short context", "stride is 40"),
])  # fmt: skip
def test_a_mistake_in_a_later_model_is_told_before_the_first_one_runs(
    checkpoints, monkeypatch, what, message
):
    monkeypatch.setattr(running, "_run", lambda *_: pytest.fail("a model has run"))
    with pytest.raises(ValueError, match=message):
        evaluate([checkpoints[0], damaged(checkpoints[0], what)], texts={"t": ["a rose"]}, stride=40)


def test_what_was_found_before_an_error_is_given_away_and_says_what_is_missing(checkpoints, monkeypatch):
    found, run = [], running._run

    def fail_at_the_second(lm, *arguments):
        if found:
            raise MemoryError("no room")
        return run(lm, *arguments)

    monkeypatch.setattr(running, "_run", fail_at_the_second)
    with pytest.raises(MemoryError):
        evaluate(checkpoints, limit=1, progress=False, after_each=found.append)
    (partial,) = found
    assert [model.name for model in partial.models] == ["one"]
    assert partial.notes == ["the evaluation is not finished; not measured: two"]
    assert EvaluationTable.of(partial).reading[-1].startswith("The evaluation is not finished")


def test_the_last_of_the_results_so_far_is_the_whole(checkpoints):
    found = []
    result = evaluate(checkpoints, limit=1, progress=False, after_each=found.append)
    assert [len(each.models) for each in found] == [1, 2]
    assert result.models == found[-1].models
    assert result.notes == []


def test_weights_in_8_bits_count_as_parameters(tmp_path):
    model = tiny_model()
    model.quantized().save(tmp_path / "int8")
    _, facts = open_model(tmp_path / "int8", device="cpu")
    assert facts["parameters"] == sum(each.numel() for each in model.parameters())


def test_another_tokenizer_can_be_given_and_is_recorded(tmp_path):
    save_checkpoint(without_tokenizer(tiny_model()), tmp_path / "bare")
    file = tiny_model().tokenizer.save(tmp_path / "tokenizer")
    with pytest.raises(ValueError, match="tokenizer"):
        evaluate([tmp_path / "bare"], limit=1, progress=False)
    found = evaluate([tmp_path / "bare"], limit=1, tokenizer=file, progress=False)
    assert found.models[0].scores
    assert found.settings["tokenizer"] == {
        "path": str(file),
        "files": {"tokenizer.model": hashlib.sha256(file.read_bytes()).hexdigest()},
    }


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A model that only transformers read, without a tokenizer."""
    from transformers import GPT2Config, GPT2LMHeadModel

    path = tmp_path_factory.mktemp("gpt2")
    torch.manual_seed(0)
    GPT2LMHeadModel(
        GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=310, n_positions=64)
    ).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Folders of tokenizers: one that suits the models here, and one that is too large for them."""
    folder = tmp_path_factory.mktemp("tokenizers")
    tiny_model().tokenizer.save_hugging_face(folder / "own")
    return folder / "own", save_tokenizer(folder / "large")


def test_transformers_take_another_tokenizer_if_it_is_a_folder_and_suits_the_weights(gpt2, tokenizers):
    own, large = tokenizers
    lm, facts = open_model(gpt2, tokenizer=own, device="cpu")
    assert lm.tok_encode("a rose") == tiny_model().tokenizer.encode("a rose")
    assert facts["parameters"] == sum(each.numel() for each in lm.model.parameters())
    with pytest.raises(ValueError, match=r"folder of a tokenizer, not .*tokenizer\.model"):
        open_model(gpt2, tokenizer=own / "tokenizer.model", device="cpu")
    with pytest.raises(ValueError, match=r"large has 40\d ids, but the weights have rows for only 310"):
        open_model(gpt2, tokenizer=large, device="cpu")


def test_prompts_that_transformers_cut_are_counted_and_answers_without_room_refused(gpt2, tokenizers):
    lm, _ = open_model(gpt2, tokenizer=tokenizers[0], device="cpu", batch_size=2)

    def ask(*prompts, **options):
        options = {"until": ["\n"], "max_gen_toks": 16, **options}
        asked = [(prompt, options) for prompt in prompts]
        requests = [Instance("generate_until", {}, each, i) for i, each in enumerate(asked)]
        return lm.generate_until(requests, disable_tqdm=True)

    exact = "a rose is " * 60
    while len(lm.tok_encode(exact)) > 64 - 16:
        exact = exact[1:]
    ask("a rose", exact)
    assert not lm.counts["cut prompts"]
    ask("a rose", f"a {exact}", exact * 3)
    assert lm.counts["cut prompts"] == 2
    drawn = {"do_sample": True, "temperature": 1.0}
    assert ask("a rose", "what", **drawn) == ask("a rose", "what", **drawn)
    with pytest.raises(ValueError, match=r"answers of 64 tokens, for which there is no room in .* 64"):
        ask("a rose", max_gen_toks=64)


def test_the_beginning_of_an_answer_that_a_task_gives_is_continued_in_a_conversation(
    checkpoints, asked, harness_with
):
    names = harness_with(begun=local_task("begun", gen_prefix="The answer is"))
    evaluate(checkpoints[:1], names, chat=True, n_shots=1, progress=False)
    (prompts,) = ([context for context, _ in call] for call in asked)
    assert len(prompts) == len(ROWS)
    assert all(prompt.endswith("<|end|><|assistant|>The answer is") for prompt in prompts)
    assert all(prompt.count("<|assistant|>The answer is") == 2 for prompt in prompts)
