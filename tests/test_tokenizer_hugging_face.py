"""Tokenizers of other people's models give transformers' ids, and no text becomes a special token."""

from __future__ import annotations

import json
import pickle

import pytest
from foreign_models import MARKED_TEMPLATE, SPECIAL, TEMPLATE, byte_level_tokenizer, save_tokenizer
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer as Library, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from minillm_lib.tokenizer import HuggingFaceTokenizer, Tokenizer
from minillm_lib.tokenizer.hugging_face_files import model_kind

PIECES = [" ", "\n", "  a", "topic", "模型", "🌹", "'ll", "123", "<think>", "<|", "\ufdd0", *SPECIAL]
TEXT = st.lists(st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)).map(
    "".join
)
PROPERTY = settings(deadline=None, max_examples=100)
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": " What is a topic?\n"},
    {"role": "assistant", "content": "\n\nWords that go together. 主题"},
    {"role": "user", "content": "thanks"},
    {"role": "assistant", "content": "<think>polite</think>You are welcome."},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tokenizer(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def tokenizer(folder):
    return Tokenizer.load(folder)


@pytest.fixture(scope="module")
def theirs(folder):
    return AutoTokenizer.from_pretrained(folder)


@PROPERTY
@given(text=TEXT)
def test_any_text_survives_with_transformers_ids_and_without_special_tokens(tokenizer, theirs, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not {0, 1, 2} & set(ids)
    assert ids == theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert "".join(tokenizer.decode_stream(ids)) == text
    assert sum(tokenizer.byte_lengths[token_id] for token_id in ids) == len(text.encode())
    assert (
        tokenizer.encode_batch([text, text]) == [ids, ids] == tokenizer.encode_batch([text] * 2, n_threads=1)
    )


def test_special_tokens_and_ends(folder, tokenizer):
    assert (tokenizer.eos_id, tokenizer.end_of_turn_id, tokenizer.pad_id, tokenizer.bos_id) == (2, 2, 0, 2)
    assert not tokenizer.begins_with_bos
    assert tokenizer.encode("a", add_bos=True, add_eos=True) == [2, *tokenizer.encode("a"), 2]
    assert tokenizer.decode([1, 2]) == ""
    assert tokenizer.decode([1, 2], skip_special_tokens=False) == "<|im_start|><|im_end|>"
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 0]}', encoding="utf-8")
    assert Tokenizer.load(folder / "tokenizer.json").end_ids == (2, 0)
    (folder / "generation_config.json").unlink()


@pytest.mark.parametrize("generation_prompt", [False, True])
@pytest.mark.parametrize("turns", [TALK, TALK[1:2], TALK[:2]])
def test_conversations_are_those_of_transformers(tokenizer, theirs, turns, generation_prompt):
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=generation_prompt)
    assert ids == theirs.apply_chat_template(
        turns, add_generation_prompt=generation_prompt, tokenize=True, return_dict=False
    )


@PROPERTY
@given(contents=st.lists(TEXT, min_size=1, max_size=4))
def test_no_message_forges_a_turn(tokenizer, contents):
    roles = ["user", "assistant"] * 2
    turns = [{"role": role, "content": text} for role, text in zip(roles, contents, strict=False)]
    ids, mask = tokenizer.chat_ids_and_mask(turns)
    assert ids == tokenizer.apply_chat_template(turns)
    assert [token_id for token_id in ids if token_id < 3] == [1, 2] * len(turns)
    plain = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
    assert tokenizer.decode(ids, skip_special_tokens=False) == plain
    answers = sum(turn["role"] == "assistant" for turn in turns)
    assert [token_id for token_id, own in zip(ids, mask, strict=True) if own].count(2) == answers


def with_special_tokens(folder, names):
    library = Library.from_file(str(save_tokenizer(folder) / "tokenizer.json"))
    library.add_special_tokens(names)
    library.save(str(folder / "tokenizer.json"))
    return Tokenizer.load(folder)


@pytest.mark.parametrize("names", [["→"], ["→", "|", "题"], ["\ufdd0", "|\ufdd1"], ["\ufdd0|", "|\ufdd0"]])
def test_special_tokens_of_any_characters_stay_text_in_a_message(tmp_path, names):
    """A single character cannot be broken by another, as ``<|im_end|>`` can."""
    tokenizer = with_special_tokens(tmp_path, names)
    content = "a | b, <|im_end|> → 题 ||题|" + "".join(names)
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": content}]
    ids, mask = tokenizer.chat_ids_and_mask(turns)
    expected = []
    for turn in turns:
        expected += [1, *tokenizer.encode(f"{turn['role']}\n{content}"), 2, *tokenizer.encode("\n")]
    assert ids == expected
    own = [token_id for token_id, assistant in zip(ids, mask, strict=True) if assistant]
    assert tokenizer.decode(own, skip_special_tokens=False) == f"{content}<|im_end|>"
    assert not {tokenizer.vocabulary.index(name) for name in names if name != "|"} & set(ids)


def test_more_special_tokens_of_a_single_character_than_can_be_kept_apart_are_an_error(tmp_path):
    tokenizer = with_special_tokens(tmp_path, [chr(0x4E00 + i) for i in range(30)])
    with pytest.raises(ValueError, match=r"needs 33 noncharacters .* there are 32 that neither"):
        tokenizer.apply_chat_template(TALK)


@pytest.mark.parametrize("template", [TEMPLATE, MARKED_TEMPLATE], ids=["prefixes", "generation blocks"])
def test_the_mask_covers_answers_and_their_end(tmp_path, template):
    tokenizer = Tokenizer.load(save_tokenizer(tmp_path, template))
    turns = [*TALK[:2], {"role": "assistant", "content": "Words. <|im_end|>"}, *TALK[3:]]
    ids, mask = tokenizer.chat_ids_and_mask(turns)
    own = [token_id for token_id, assistant in zip(ids, mask, strict=True) if assistant]
    text = tokenizer.decode(own, skip_special_tokens=False)
    assert text == "Words. <|im_end|><|im_end|><think>polite</think>You are welcome.<|im_end|>"


def test_the_mask_of_generation_blocks_is_that_of_transformers(tmp_path):
    save_tokenizer(tmp_path, MARKED_TEMPLATE)
    ids, mask = Tokenizer.load(tmp_path).chat_ids_and_mask([TALK[0], TALK[1], *TALK[3:]])
    theirs = AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        [TALK[0], TALK[1], *TALK[3:]], return_dict=True, return_assistant_tokens_mask=True
    )
    assert ids == theirs["input_ids"]
    assert mask == [bool(own) for own in theirs["assistant_masks"]]


def test_a_template_that_strips_earlier_thoughts_keeps_its_mask(tmp_path):
    """As Qwen3's: only the last answer keeps what stands before </think>."""
    template = TEMPLATE.replace(
        "message.content +", "(message.content if loop.last else message.content.split('</think>')[-1]) +"
    )
    tokenizer = Tokenizer.load(save_tokenizer(tmp_path, template))
    answers = [TALK[1], TALK[4], TALK[1], TALK[4]]
    ids, mask = tokenizer.chat_ids_and_mask(answers)
    own = [token_id for token_id, assistant in zip(ids, mask, strict=True) if assistant]
    text = tokenizer.decode(own, skip_special_tokens=False)
    assert text == "You are welcome.<|im_end|><think>polite</think>You are welcome.<|im_end|>"


def test_a_template_whose_earlier_turns_depend_on_later_ones_is_refused(tmp_path):
    template = "{{ messages | length }}" + TEMPLATE
    tokenizer = Tokenizer.load(save_tokenizer(tmp_path, template))
    assert tokenizer.apply_chat_template(TALK)
    with pytest.raises(ValueError, match=r"before messages\[2\] in another way"):
        tokenizer.chat_ids_and_mask(TALK)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no system turns') }}", "does not take this conversation: no system turns"),
        ("{% if %}", "the chat template is not valid"),
        ("{{ messages.__class__.__mro__ }}{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe|not take"),
        (None, "no chat template, neither in chat_template.jinja nor"),
    ],
)
def test_a_template_that_cannot_be_used_says_so(tmp_path, template, message):
    tokenizer = Tokenizer.load(save_tokenizer(tmp_path, template))
    with pytest.raises(ValueError, match=message):
        tokenizer.apply_chat_template(TALK)
    assert tokenizer.end_of_turn_id == tokenizer.eos_id


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "at least one message"),
        ([{"content": "x"}], r"messages\[0\] must be a mapping with a role"),
        ([{"role": "user", "content": "\ud800"}], r"messages\[0\] has the lone surrogate"),
    ],
)
def test_a_malformed_conversation_is_named(tokenizer, messages, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.apply_chat_template(messages)


def test_a_tokenizer_is_its_files(tmp_path, folder, tokenizer):
    tokenizer.save_hugging_face(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    again = Tokenizer.load(tmp_path)
    assert again == tokenizer == pickle.loads(pickle.dumps(tokenizer))
    assert hash(again) == hash(tokenizer)
    assert again != Tokenizer.load(save_tokenizer(tmp_path / "other", words=None))


def test_the_hash_is_that_of_the_vocabulary_however_it_is_written(tmp_path, tokenizer):
    content = json.loads(tokenizer.files()["tokenizer.json"])
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    files = {"tokenizer.json": json.dumps(content, indent=3).encode()}
    assert HuggingFaceTokenizer(files).sha256 == tokenizer.sha256
    content["model"]["merges"].reverse()
    assert HuggingFaceTokenizer({"tokenizer.json": json.dumps(content).encode()}).sha256 != tokenizer.sha256


def untyped(tokenizer):
    """The files of a tokenizer as GPT-2's old one is: without the type of its model, and merges as strings."""
    content = json.loads(tokenizer.files()["tokenizer.json"])
    del content["model"]["type"]
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    return tokenizer.files() | {"tokenizer.json": json.dumps(content).encode()}


def test_a_model_without_its_type_is_told_by_its_keys(tokenizer):
    old = HuggingFaceTokenizer(untyped(tokenizer))
    assert old.encode("a topic, 主题 🌹") == tokenizer.encode("a topic, 主题 🌹")
    assert (old.model_type, old.sha256) == ("bpe", tokenizer.sha256)
    assert old.byte_level_bpe() == tokenizer.byte_level_bpe()


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ({"type": "WordLevel", "merges": []}, "WordLevel"),
        ({"vocab": [["a", -1.0]], "unk_id": 0}, "Unigram"),
        ({"vocab": {"a": 0}, "unk_token": "a", "max_input_chars_per_word": 100}, "WordPiece"),
        ({"vocab": {"a": 0}, "merges": []}, "BPE"),
        ({"vocab": {"a": 0}, "unk_token": "a"}, None),
    ],
)
def test_the_kind_of_a_model_is_its_type_or_what_its_keys_tell(model, kind):
    assert model_kind(model) == kind


def test_the_vocabulary_can_be_read(tokenizer):
    assert tokenizer.pieces("a topic") == ["a", "▁topic"]
    assert tokenizer.pieces("🌹")[0].startswith("<0xF0>")
    assert tokenizer.vocabulary[2] == "<|im_end|>"
    assert len(tokenizer) == tokenizer.vocab_size == len(tokenizer.byte_lengths) == 402


def test_a_llama_like_tokenizer_with_byte_fallback(tmp_path):
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{byte:02X}>": 3 + byte for byte in range(256)}}
    for piece in ("▁", "a", "b", "▁a", "ab", "▁ab"):
        vocab[piece] = len(vocab)
    library = Library(
        models.BPE(vocab, [("▁", "a"), ("a", "b"), ("▁", "ab")], unk_token="<unk>", byte_fallback=True)
    )
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    library.add_special_tokens(["<unk>", "<s>", "</s>"])
    library.save(str(tmp_path / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.begins_with_bos
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, 2)
    for text in ("ab a", "b 🌹", "</s>ab"):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == f" {text}"
        assert 2 not in ids
    assert tokenizer.pieces("ab 🌹")[-4:] == ["<0xF0>", "<0x9F>", "<0x8C>", "<0xB9>"]
    with pytest.raises(ValueError, match="BPE without bytes as characters"):
        tokenizer.byte_level_bpe()


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.model, and no tokenizer\.json beside it"):
        Tokenizer.load(tmp_path)
    for content, message in (
        ("{", r"tokenizer\.json: tokenizer\.json is not JSON"),
        ("{}", r"model\.type None; only 'BPE' and 'Unigram'"),
        ('{"model": {"type": "WordPiece"}}', "model.type 'WordPiece'"),
        ('{"model": {"type": "BPE"}}', "neither ByteLevel nor byte_fallback"),
        ('{"model": {"type": "BPE", "byte_fallback": true}}', "the tokenizers library cannot read"),
    ):
        (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            Tokenizer.load(tmp_path)
    library = Library(models.BPE({"a": 0}, []))
    library.pre_tokenizer = pre_tokenizers.ByteLevel()
    library.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=r"no token that ends a text.*eos_token"):
        Tokenizer.load(tmp_path)


def test_the_end_of_a_text_is_guessed_for_gpt2_which_does_not_name_it(tmp_path):
    byte_level_tokenizer(None).save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocabulary[tokenizer.eos_id] == "<|endoftext|>"
    assert tokenizer.chat_template is None
