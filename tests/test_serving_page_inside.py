"""The look inside of the chat page: what it says of tokens and attention is what the server says."""

import math

import pytest
from chat_page import EXAMPLES, PHONE, QUESTION, ask, finished, pages, user
from served_model import CONTEXT, running, tiny_model

from minillm_lib.serving import inspection


@pytest.fixture(scope="module")
def served():
    with running(examples=EXAMPLES) as server:
        yield server


@pytest.fixture
def visit(browser, served):
    with pages(browser, served.url) as visit:
        yield visit


def look_inside(page, served, **how):
    """Ask with the tokens shown, and return what the server says of them."""
    page.locator("#inside").click()
    ask(page)
    finished(page)
    how = {"messages": [user(QUESTION)], "logprobs": True, "top_logprobs": 6, **how}
    return served.post("/v1/chat/completions", how).json()["choices"][0]["logprobs"]["content"]


def percent(p):
    return float(p.replace("100 %", "100").replace("<", "").replace("%", "")) / 100


def test_each_token_shows_its_probability_and_the_alternatives(visit, served):
    page = visit()
    scores = look_inside(page, served)
    cells = page.evaluate("turns[0].reply.cells.map(cell => cell.tokens.map(token => token.id))")
    assert [token for cell in cells for token in cell] == [score["token_id"] for score in scores]
    labels = page.locator(".token").evaluate_all("all => all.map(each => each.ariaLabel)")
    left = iter(scores)
    for cell, label in zip(cells, labels, strict=True):
        chance = math.exp(sum(next(left)["logprob"] for _ in cell))
        assert percent(label.rsplit("probability ")[-1]) == pytest.approx(chance, abs=0.006)
    tip = page.get_by_role("tooltip")
    assert not tip.is_visible()
    tokens = page.locator(".token")
    tokens.first.hover()
    shown = tip.locator(".bars b").all_text_contents()
    assert [text.replace("␣", " ") for text in shown[:6]] == [
        other["token"].replace("\ufffd", "▯") for other in scores[0]["top_logprobs"]
    ]
    page.mouse.move(0, 0)
    assert not tip.is_visible()


def test_tokens_are_reached_by_the_arrow_keys(visit, served):
    page = visit()
    look_inside(page, served)
    assert page.locator(".token[tabindex='0']").count() == 1
    page.locator(".token").first.focus()
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("Home", 0), ("ArrowLeft", 0)):
        page.keyboard.press(key)
        assert (
            page.evaluate("[...document.querySelectorAll('.token')].indexOf(document.activeElement)") == place
        )
        assert page.get_by_role("tooltip").is_visible()
    page.keyboard.press("Enter")
    page.locator(".heat td button").first.wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("#panel").is_visible()
    assert page.evaluate("document.activeElement === document.querySelector('.token')")


def test_a_click_on_a_token_shows_what_was_attended_to(visit, served):
    page = visit()
    ids = [score["token_id"] for score in look_inside(page, served)]
    prompt = tiny_model().tokenizer.apply_chat_template([user(QUESTION)], add_generation_prompt=True)
    place = 3
    number = page.evaluate("n => turns[0].reply.cells.slice(0, n).flatMap(cell => cell.tokens).length", place)
    assert number >= place
    body = {"messages": [user(QUESTION)], "reply_ids": ids, "token": len(prompt) + number}
    attention = served.post("/inspect", body).json()["attention"]
    page.locator(".token").nth(place).click()
    cells, past = page.locator(".heat td button"), page.locator(".past span")
    cells.first.wait_for()
    assert cells.count() == sum(map(len, attention)) == 8
    assert past.count() == len(prompt) + number

    def weights():
        return [
            percent(label.rsplit("weight ")[-1])
            for label in past.evaluate_all("all => all.map(e => e.ariaLabel)")
        ]

    mean = [sum(each) / 8 for each in zip(*(head for layer in attention for head in layer), strict=True)]
    assert weights() == pytest.approx(mean, abs=0.006)
    assert [percent(text.split(": ")[1]) for text in cells.evaluate_all("all => all.map(e => e.title)")] == (
        pytest.approx([max(head) for layer in attention for head in layer], abs=0.006)
    )
    cells.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # layer 2, head 1
    assert weights() == pytest.approx(attention[1][0], abs=0.006)
    assert page.evaluate("document.activeElement.title").startswith("Layer 2, head 1:")
    page.get_by_role("button", name="Mean of layer 2").click()
    assert weights() == pytest.approx([sum(each) / 4 for each in zip(*attention[1], strict=True)], abs=0.006)
    past.nth(2).click()
    assert [percent(text.split(": ")[1]) for text in cells.evaluate_all("all => all.map(e => e.title)")] == (
        pytest.approx([head[2] for layer in attention for head in layer], abs=0.006)
    )


def test_a_look_inside_that_fails_is_said_and_can_be_tried_again(visit, served):
    page = visit()
    look_inside(page, served)
    page.route("**/inspect", lambda route: route.abort(), times=1)
    page.locator(".token").nth(1).click()
    page.locator("#panel .trouble", has_text="connection").wait_for()
    page.locator("#panel").get_by_role("button", name="Try again").click()
    page.locator(".heat").wait_for()


def test_a_token_that_is_too_far_to_be_looked_at_is_said_to_be_so(visit, monkeypatch):
    n_prompt = len(tiny_model().tokenizer.apply_chat_template([user(QUESTION)], add_generation_prompt=True))
    monkeypatch.setattr(inspection, "MOST_TOKENS", n_prompt + 2)
    with running(examples=EXAMPLES) as served:
        page = visit(served.url)
        look_inside(page, served)
        page.locator(".token").first.click()
        page.locator(".heat").wait_for()
        page.locator(".token").last.click()
        trouble = page.locator("#panel .trouble")
        trouble.filter(has_text=f"Only the first {n_prompt + 2} tokens").wait_for()
        page.locator("#language").click()
        assert f"最前面的 {n_prompt + 2} 个词元" in trouble.text_content()


def test_what_was_forgotten_is_said_and_is_not_looked_at(visit, served):
    page = visit()
    page.locator("#settings-button").click()
    page.locator("#max_tokens").fill("24")
    page.locator("#inside").click()
    for number in range(1, 5):
        ask(page)
        finished(page, number)
    assert "no longer sees the oldest" in page.locator(".turn .note").all_text_contents()[-2]
    with page.expect_request("**/inspect") as looked:
        page.locator(".turn").last.locator(".token").first.click()
    page.locator(".heat").wait_for()
    messages = looked.value.post_data_json["messages"]
    assert len(messages) == 7 - page.evaluate("turns.at(-1).reply.forgotten")
    assert messages[0]["role"] == "user"
    n_prompt = page.evaluate("turns.at(-1).reply.nPrompt")
    assert page.locator(".past span").count() == n_prompt < CONTEXT - 24


@pytest.mark.parametrize(
    ("piece", "tokens", "cells"),
    [
        ("a rose", ["a", " rose"], ["a", " rose"]),
        ("潜在", ["\ufffd", "\ufffd", "\ufffd", "在"], ["潜", "在"]),
        ("在潜", ["在", "\ufffd", "\ufffd", "\ufffd"], ["在", "潜"]),
        ("rose is", [" rose", " is"], ["rose", " is"]),
        ("a", ["a", "<|end|>"], ["a", ""]),
        ("a rest", ["a"], ["a", " rest"]),
        ("", [], []),
    ],
)
def test_tokens_that_are_parts_of_a_character_are_shown_together(visit, piece, tokens, cells):
    page = visit()
    given = [{"text": text, "id": 0, "p": 1, "others": []} for text in tokens]
    found = page.evaluate("([piece, tokens]) => cellsOf(piece, tokens)", [piece, given])
    assert [cell["text"] for cell in found] == cells
    assert [token["text"] for cell in found for token in cell["tokens"]] == tokens


def test_of_parts_of_characters_which_look_alike_one_is_the_token(visit):
    page = visit()
    token = {"text": "\ufffd", "id": 7, "p": 0.1, "others": [["\ufffd", 0.5, 5], ["\ufffd", 0.3, 6]]}
    shown = page.evaluate("token => bars(othersOf(token), token.id).innerHTML", token)
    assert shown.count("<li") == 3
    assert shown.count("taken") == 1
    assert shown.index("taken") < shown.index("10 %") < shown.index("50 %")


def test_tokens_together_are_the_reply(visit, served):
    page = visit()
    look_inside(page, served)
    shown = page.locator(".reply").text_content()
    page.locator("#inside").click()
    assert page.locator(".reply").text_content() == shown
    assert page.locator(".token").count() == 0


def test_on_a_phone_the_token_stays_in_sight_of_its_attention(visit, served):
    page = visit(viewport=PHONE)
    look_inside(page, served)
    page.locator(".token").last.click()
    page.locator(".heat").wait_for()
    chosen = page.locator(".token.chosen")
    box = chosen.bounding_box()
    at_it = "([x, y]) => document.elementFromPoint(x, y).classList.contains('chosen')"
    assert page.evaluate(at_it, [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    page.locator("#language").click()
    assert chosen.count() == 1
    page.locator("#inside").click()
    assert not page.locator("#panel").is_visible()
    assert chosen.count() == 0


def test_attention_closes_with_the_reply_that_it_is_about(visit, served):
    page = visit()
    look_inside(page, served)
    page.locator(".token").first.click()
    page.locator(".heat").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.locator("#panel").wait_for(state="hidden")
    finished(page)
