"""Conversations in the formats and the kinds of files in which people have them."""

from __future__ import annotations

import csv
import gzip
import json

import pandas
import pytest

from minillm_lib.corpora.conversations import ConversationReport, Turn, read_conversations, records
from minillm_lib.corpora.reading.report import ReadError

QUESTION, ANSWER = Turn("user", "What is LDA?"), Turn("assistant", "A topic model.")
SYSTEM = Turn("system", "Be brief.")
OPENAI = [turn._asdict() for turn in (QUESTION, ANSWER)]
SHAREGPT = [{"from": "human", "value": QUESTION.content}, {"from": "gpt", "value": ANSWER.content}]


def read(path, *records, **options):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    report = ConversationReport()
    return [each.turns for each in read_conversations(path, report=report, **options)], report


@pytest.mark.parametrize(
    ("record", "format"),
    [
        ({"messages": OPENAI}, "messages"),
        ({"conversation": OPENAI}, "messages"),
        ({"conversations": OPENAI}, "conversations"),
        ({"conversations": SHAREGPT}, "sharegpt"),
        ({"conversations": [{"from": "user", "value": QUESTION.content}, SHAREGPT[1]]}, "sharegpt"),
        ({"messages": json.dumps(OPENAI)}, "messages"),
        ({"messages": repr(OPENAI)}, "messages"),
        (
            {"messages": {"role": ["user", "assistant"], "content": [QUESTION.content, ANSWER.content]}},
            "messages",
        ),
        (
            {"messages": [{**OPENAI[0], "content": [{"type": "text", "text": QUESTION.content}]}, OPENAI[1]]},
            "messages",
        ),
        ({"instruction": QUESTION.content, "input": "", "output": ANSWER.content}, "alpaca"),
        ({"instruction": QUESTION.content, "input": None, "response": ANSWER.content}, "alpaca"),
        ({"instruction": "", "input": QUESTION.content, "output": ANSWER.content}, "alpaca"),
        ({"prompt": QUESTION.content, "completion": ANSWER.content}, "pairs"),
        ({"prompt": OPENAI[:1], "completion": OPENAI[1:]}, "pairs"),
        ({"question": QUESTION.content, "answer": ANSWER.content}, "pairs"),
        ({"Query": QUESTION.content, "Response": ANSWER.content}, "pairs"),
        ({"input": QUESTION.content, "output": ANSWER.content}, "pairs"),
        ({"问题": QUESTION.content, "答案": ANSWER.content}, "pairs"),
    ],
    ids=str,
)
def test_each_format_says_the_same(tmp_path, record, format):
    turns, report = read(tmp_path / "a.jsonl", record)
    assert turns == [(QUESTION, ANSWER)]
    assert report.formats == {format: 1}
    assert not report.is_worth_a_warning
    assert read(tmp_path / "b.jsonl", record, format=format)[0] == turns
    with pytest.raises(ReadError, match=f'the record is of format "{format}"; asked for was "preferences"'):
        read(tmp_path / "c.jsonl", record, format="preferences")


def test_a_line_may_be_the_list_itself(tmp_path):
    """A file of a single such line is an array, whose items are the records."""
    assert read(tmp_path / "a.jsonl", OPENAI, OPENAI)[0] == [(QUESTION, ANSWER)] * 2


@pytest.mark.parametrize("name", ["human", "USER", "user"])
@pytest.mark.parametrize("own", ["gpt", "assistant", "Model", "chatgpt", "bot"])
def test_roles_have_many_names(tmp_path, name, own):
    turns = [{"role": name, "content": QUESTION.content}, {"role": own, "content": ANSWER.content}]
    assert read(tmp_path / "a.jsonl", {"messages": turns})[0] == [(QUESTION, ANSWER)]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [SYSTEM._asdict(), *OPENAI]},
        {"messages": [{"role": "developer", "content": "Be brief."}, *OPENAI]},
        {"system": "Be brief.", "conversations": SHAREGPT},
        {"system_prompt": "Be brief.", "question": QUESTION.content, "response": ANSWER.content},
    ],
)
def test_a_system_turn_is_kept_or_dropped(tmp_path, record):
    turns, report = read(tmp_path / "a.jsonl", record)
    assert turns == [(SYSTEM, QUESTION, ANSWER)]
    assert not report.changes
    turns, report = read(tmp_path / "a.jsonl", record, system="drop")
    assert turns == [(QUESTION, ANSWER)]
    assert "1 system turn left out (system: drop)" in str(report)


def test_earlier_turns_of_alpaca_come_first(tmp_path):
    record = {"instruction": "Why?", "output": "So.", "history": [[QUESTION.content, ANSWER.content]]}
    assert read(tmp_path / "a.jsonl", record)[0] == [
        (QUESTION, ANSWER, Turn("user", "Why?"), Turn("assistant", "So."))
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": QUESTION.content, "chosen": ANSWER.content, "rejected": "No."},
        {"prompt": OPENAI[:1], "chosen": OPENAI[1:], "rejected": OPENAI[1:]},
        {"prompt": QUESTION.content, "chosen": OPENAI, "rejected": OPENAI},
        {"chosen": OPENAI, "rejected": OPENAI},
        {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": SHAREGPT[1]},
        {"instruction": QUESTION.content, "input": "", "chosen": ANSWER.content, "rejected": "No."},
    ],
    ids=str,
)
def test_of_two_answers_the_chosen_one_is_taken_if_that_is_said(tmp_path, record):
    assert read(tmp_path / "a.jsonl", record, preferences="chosen")[0] == [(QUESTION, ANSWER)]
    with pytest.raises(ReadError, match="compares two answers, 'chosen' and 'rejected'"):
        read(tmp_path / "a.jsonl", record)


def table(rows):
    return pandas.DataFrame(rows)


PAIRS = [{"question": f"{QUESTION.content} {n}", "answer": ANSWER.content} for n in range(4)]
LISTS = [{"messages": [{**OPENAI[0], "content": row["question"]}, OPENAI[1]]} for row in PAIRS]
AS_JSON = [{"messages": json.dumps(row["messages"])} for row in LISTS]


@pytest.mark.parametrize("rows", [PAIRS, LISTS, AS_JSON], ids=["pairs", "lists", "json"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".xlsx", ".parquet", ".json", ".jsonl.gz"])
def test_tables_hold_pairs_or_lists_of_turns(tmp_path, rows, ending):
    path = tmp_path / f"table{ending}"
    if ending == ".parquet":
        table(rows).to_parquet(path)
    elif ending == ".xlsx":
        table(rows).to_excel(path, index=False)
    elif ending == ".json":
        table(rows).to_json(path, orient="records")
    elif ending == ".jsonl.gz":
        path.write_bytes(gzip.compress(b"\n".join(json.dumps(row).encode() for row in rows)))
    else:
        table(rows).to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    read_back = [each.turns for each in read_conversations(path)]
    assert read_back == [(Turn("user", row["question"]), ANSWER) for row in PAIRS]


def test_a_column_of_structures_has_keys_that_only_some_turns_fill(tmp_path):
    calling = {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": "{}"}]}
    rows = [{"messages": OPENAI}, {"messages": [OPENAI[0], calling]}]
    table(rows).to_parquet(tmp_path / "a.parquet")
    plain, called = read_conversations(tmp_path / "a.parquet")
    assert plain.turns == (QUESTION, ANSWER)
    assert called.turns[1].content == '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'


def test_columns_of_other_names_are_named_by_options(tmp_path):
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["frage", "antwort"], *[[QUESTION.content, ANSWER.content]] * 3])
    with pytest.raises(
        ReadError, match=r"no line names them, so they are 1, 2.*\n.*\n.*question_key and answer_key name"
    ):
        list(read_conversations(tmp_path / "a.csv"))
    found = list(read_conversations(tmp_path / "a.csv", question_key="frage", answer_key="antwort"))
    assert [each.turns for each in found] == [(QUESTION, ANSWER)] * 3
    with pytest.raises(ReadError, match="the record has no 'answer'; its keys are"):
        list(read_conversations(tmp_path / "a.csv", question_key="frage", answer_key="answer"))


def test_a_list_as_python_writes_it_is_parsed_within_limits(tmp_path, monkeypatch):
    rows = [["messages"], [repr(OPENAI)], [repr([*OPENAI, *OPENAI])]]
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    assert len(list(read_conversations(tmp_path / "a.csv"))) == 2
    monkeypatch.setattr(records, "_LONGEST_OF_PYTHON", len(rows[1][0]))
    with pytest.raises(ReadError, match=f"as Python writes it may have {len(rows[1][0])} characters"):
        list(read_conversations(tmp_path / "a.csv"))


def test_a_number_in_a_table_is_a_text(tmp_path):
    table([{"question": "What is 17 times 24?", "answer": 408}] * 2).to_excel(
        tmp_path / "a.xlsx", index=False
    )
    first, _ = read_conversations(tmp_path / "a.xlsx")
    assert first.turns[1].content == "408"


def test_folders_globs_and_several_paths_are_read_and_what_is_no_conversation_is_named(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        read(tmp_path / name, {"messages": OPENAI})
    (tmp_path / "notes.txt").write_text("Just text.", "utf-8")
    with pytest.warns(UserWarning, match=r"passed over:\n.*no table and no JSON.*notes\.txt"):
        assert len(list(read_conversations(tmp_path))) == 2
    assert len(list(read_conversations(tmp_path / "*.jsonl"))) == 2
    assert len(list(read_conversations([tmp_path / "b.jsonl", tmp_path / "a.jsonl"]))) == 2


@pytest.mark.parametrize(
    "record",
    [
        {"question": QUESTION.content, "answer": [ANSWER.content, "A model of topics."]},
        {"question": [QUESTION.content, "LDA?"], "answer": ANSWER.content},
        {"question": QUESTION.content, "answer": [" ", ANSWER.content]},
        {"frage": [QUESTION.content, "LDA?"], "antwort": ANSWER.content},
        {"prompt": QUESTION.content, "chosen": [ANSWER.content, "A."], "rejected": "No."},
    ],
    ids=str,
)
def test_of_several_answers_or_questions_the_first_is_read_and_that_is_said(tmp_path, record):
    options = {"question_key": "frage", "answer_key": "antwort"} if "frage" in record else {}
    turns, report = read(tmp_path / "a.jsonl", record, preferences="chosen", **options)
    assert turns == [(QUESTION, ANSWER)]
    assert "1 turn with alternative texts, of which the first is read (first:" in str(report)


def test_alternatives_in_the_history_are_alternatives_too(tmp_path):
    history = [[QUESTION.content, [ANSWER.content, "Topics."]]]
    turns, report = read(tmp_path / "a.jsonl", {"instruction": "q", "output": "a", "history": history})
    assert turns[0][:2] == (QUESTION, ANSWER)
    assert "1 turn with alternative texts" in str(report)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (["one", "two"], "one\ntwo"),
        (["one"], "one"),
        ([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "onetwo"),
        ([{"type": "text", "text": "one"}, "two"], "one\ntwo"),
    ],
)
def test_texts_in_the_content_of_a_turn_are_lines_and_parts_are_pieces(tmp_path, content, text):
    messages = [OPENAI[0], {"role": "assistant", "content": content}]
    turns, report = read(tmp_path / "a.jsonl", {"messages": messages})
    assert turns == [(QUESTION, Turn("assistant", text))]
    assert ("1 turn with a list of texts, read as lines" in str(report)) == ("\n" in text)


def test_passages_are_lines_beside_a_question(tmp_path):
    record = {"question": "What?", "context": ["A passage.", "Another."], "answer": "So."}
    turns, report = read(tmp_path / "a.jsonl", record)
    assert turns[0][0].content == "What?\n\nA passage.\nAnother."
    assert "1 turn with a list of texts, read as lines" in str(report)


EMPTY = dict.fromkeys(("messages", "instruction", "output", "prompt", "completion", "chosen", "rejected"))


@pytest.mark.parametrize("nothing", [None, "", [], " \n"], ids=repr)
@pytest.mark.parametrize(
    ("record", "format"),
    [
        ({"messages": OPENAI}, "messages"),
        ({"instruction": QUESTION.content, "output": ANSWER.content}, "alpaca"),
        ({"prompt": QUESTION.content, "completion": ANSWER.content}, "pairs"),
        ({"prompt": QUESTION.content, "chosen": ANSWER.content, "rejected": "No."}, "preferences"),
        ({"chosen": OPENAI, "rejected": OPENAI}, "preferences"),
    ],
    ids=lambda value: value if isinstance(value, str) else "record",
)
def test_keys_without_a_value_hide_no_others(tmp_path, record, format, nothing):
    """As where tables of several formats were joined, and each record has the keys of all."""
    joined = dict.fromkeys(EMPTY, nothing) | record
    turns, report = read(tmp_path / "a.jsonl", joined, preferences="chosen")
    assert turns == [(QUESTION, ANSWER)]
    assert report.formats == {format: 1}
    assert not report.beside


@pytest.mark.parametrize("nothing", [None, "", []], ids=repr)
def test_parts_without_a_value_hide_no_others(tmp_path, nothing):
    mixed = [{"role": "user", "from": nothing, "content": nothing, "text": QUESTION.content}, SHAREGPT[1]]
    assert read(tmp_path / "a.jsonl", {"messages": mixed})[0] == [(QUESTION, ANSWER)]
    pair = {"question": QUESTION.content, "answer": ANSWER.content}
    prompts = {"system": nothing, "system_prompt": SYSTEM.content, **pair}
    assert read(tmp_path / "a.jsonl", prompts)[0] == [(SYSTEM, QUESTION, ANSWER)]
    tools = {"tools": nothing, "functions": [{"name": "f"}], **pair}
    assert '{"name": "f"}' in read(tmp_path / "a.jsonl", tools)[0][0][0].content
    contexts = {"input": nothing, "context": "A passage.", **pair}
    assert read(tmp_path / "a.jsonl", contexts)[0][0][0].content == f"{QUESTION.content}\n\nA passage."
    in_two_cases = {"Question": QUESTION.content, "question": nothing, "answer": ANSWER.content}
    assert read(tmp_path / "a.jsonl", in_two_cases)[0] == [(QUESTION, ANSWER)]


def test_a_second_system_prompt_or_context_is_named(tmp_path):
    record = {
        "system": "A",
        "system_prompt": "B",
        "question": "q",
        "input": "c",
        "context": "d",
        "answer": "a",
    }
    _, report = read(tmp_path / "a.jsonl", record)
    assert report.beside == {"system_prompt": 1, "context": 1}


def test_a_record_without_any_value_is_an_empty_conversation(tmp_path):
    _, report = read(tmp_path / "a.jsonl", {"question": "q", "answer": "a"}, EMPTY)
    assert (report.n_empty, report.n_faulty) == (1, 0)


def test_a_key_that_occurs_twice_is_a_fault_also_in_a_cell(tmp_path):
    twice = json.dumps(OPENAI).replace('"content"', '"content": "lost", "content"', 1)
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["messages"], [json.dumps(OPENAI)], [json.dumps(OPENAI)], [twice]])
    with pytest.warns(UserWarning, match=r"'messages' is a list as JSON, but the key 'content' occurs twice"):
        assert len(list(read_conversations(tmp_path / "a.csv"))) == 2


def test_a_record_that_is_too_long_names_an_option_that_helps(tmp_path):
    records = [{"question": "q" * n, "answer": "a"} for n in (9, 900, 9, 9)]
    with pytest.warns(UserWarning, match="more than 500 bytes; raise max_record_bytes"):
        assert len(read(tmp_path / "a.jsonl", *records, max_record_bytes=500)[0]) == 3
    assert len(read(tmp_path / "a.jsonl", *records, max_record_bytes=5000)[0]) == 4
    with pytest.raises(ValueError, match="max_record_bytes is 0; allowed is a number from 1"):
        read(tmp_path / "a.jsonl", max_record_bytes=0)


@pytest.mark.parametrize("content", [json.dumps([{"messages": OPENAI}]), json.dumps({"data": []}, indent=1)])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_of_another_ending_is_to_be_renamed(tmp_path, content, encoding):
    (tmp_path / "a.txt").write_bytes(content.encode(encoding))
    with pytest.raises(ReadError, match=r"it begins as JSON does, .* rename it to \.json"):
        list(read_conversations(tmp_path / "a.txt"))


def test_a_folder_of_save_to_disk_is_named_for_what_it_is(tmp_path):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data-00000-of-00001.arrow").write_bytes(b"\xff\xff\xff\xff\0\0")
        (tmp_path / folder / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
        (tmp_path / folder / "dataset_info.json").write_text('{"citation": "", "features": {}}')
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(
        ReadError,
        match=r"(?s)5 \.json, about the Arrow files beside it.*2 \.arrow, an Arrow file.*to_parquet",
    ) as caught:
        list(read_conversations(tmp_path))
    assert "could not be used" not in str(caught.value)
    read(tmp_path / "a.jsonl", {"messages": OPENAI})
    (tmp_path / "a.jsonl").rename(tmp_path / "state.json")
    for arrow in tmp_path.glob("*/*.arrow"):
        arrow.unlink()
    assert len(list(read_conversations(tmp_path / "state.json"))) == 1, "a file of one's own by that name"
