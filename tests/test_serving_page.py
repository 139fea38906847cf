"""The chat page in a real browser, before a real server with a tiny model: conversation, settings, errors, looks."""

import json
import threading

import pytest
from chat_page import CHAT, EXAMPLES, PHONE, QUESTION, answers, ask, expected, finished, pages, refuse, user
from served_model import CONTEXT, eventually, running, tiny_model

from minillm_lib.model.metadata import ChatDefaults
from minillm_lib.serving.batch import Batch


@pytest.fixture(scope="module")
def served():
    with running(examples=EXAMPLES) as server:
        yield server


@pytest.fixture
def visit(browser, served):
    with pages(browser, served.url) as visit:
        yield visit


@pytest.fixture
def gate(monkeypatch):
    """An event: until it is set, batches take no more than eight steps in all."""
    gate, step, n_free = threading.Event(), Batch.step, iter(range(8))

    def wait_and_step(batch):
        if next(n_free, None) is None:
            assert gate.wait(30)
        return step(batch)

    monkeypatch.setattr(Batch, "step", wait_and_step)
    yield gate
    gate.set()


def test_a_conversation_of_two_turns(visit, served):
    page = visit()
    bodies = answers(page)
    page.locator("#settings-button").click()
    page.locator("#max_tokens").fill("12")
    ask(page)
    first = finished(page)
    assert first == expected(served, [user(QUESTION)], max_tokens=12)
    ask(page, "a rose")
    messages = [user(QUESTION), {"role": "assistant", "content": first}, user("a rose")]
    assert finished(page, 2) == expected(served, messages, max_tokens=12)
    assert bodies[1]["messages"] == messages
    assert "limit of 12 tokens" in page.locator(".turn .note").first.text_content()
    assert page.locator("#spoken").text_content().endswith(page.locator(".reply").last.text_content())
    assert page.locator(".figures").first.text_content().startswith("12 tokens")


def test_an_answer_of_which_the_model_is_not_sure_is_marked(visit, monkeypatch):
    for threshold, n_marks in ((0.0, 0), (1.0, 1)):
        monkeypatch.setattr(tiny_model(), "chat_defaults", ChatDefaults(not_sure_below=threshold))
        page = visit()
        ask(page)
        finished(page)
        assert page.locator(".turn .note", has_text="Not sure").count() == n_marks
        page.locator("#language").click()
        assert page.locator(".turn .note", has_text="不确定").count() == n_marks


def test_an_example_is_asked_by_a_click(visit):
    page = visit()
    page.locator(".examples button").first.wait_for()
    assert page.locator(".examples button").all_text_contents() == [*EXAMPLES["en"], *EXAMPLES["zh"]]
    page.locator(".examples button").last.click()
    finished(page)
    assert page.locator(".said").text_content() == EXAMPLES["zh"][0]


def test_the_language_is_that_of_the_browser_and_the_choice_is_kept(visit):
    page = visit(locale="zh-CN")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    assert page.locator(".examples button").first.text_content() == EXAMPLES["zh"][0]
    assert "只知道这门课程" in page.locator("#fine").text_content()
    page.locator("#language").click()
    page.reload()
    assert page.locator("html").get_attribute("lang") == "en"
    page.locator(".examples").wait_for()
    assert "knows only this course" in page.locator("#fine").text_content()


def test_both_languages_say_everything(visit):
    kinds = """language => Object.entries(WORDS[language]).map(
        ([name, word]) => `${name}: ${typeof word}, ${typeof word === "function" && word.length}`)"""
    page = visit()
    english, chinese = (page.evaluate(kinds, language) for language in ("en", "zh"))
    assert len(english) > 60
    assert sorted(english) == sorted(chinese)


def test_a_model_without_examples_is_not_said_to_know_the_course(visit):
    with running() as other:
        page = visit(other.url)
        page.locator("#fine", has_text="M model").wait_for()
        assert "course" not in page.locator("#fine").text_content() + page.locator(".welcome").text_content()


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_a_reply_can_be_stopped_and_asked_for_again(visit, served, gate, how):
    page = visit()
    bodies = answers(page)
    ask(page)
    page.locator(".reply:not(:empty)").wait_for()
    assert page.locator("#spoken").text_content() == "The model is writing."
    if how == "button":
        page.locator("#stop").click()
    else:
        page.keyboard.press("Escape")
    part = finished(page)
    assert page.locator(".turn .note").text_content() == "Stopped."
    gate.set()
    eventually(lambda: served.engine.n_running == 0)
    whole = expected(served, [user(QUESTION)])
    assert whole.startswith(part)
    assert 0 < len(part) < len(whole)
    page.get_by_role("button", name="Try again").click()
    page.locator(".turn .note", has_text="Stopped").wait_for(state="detached")
    assert finished(page) == whole
    assert bodies[0] == bodies[1]


def test_the_same_answer_again_is_explained(visit):
    page = visit()
    page.locator("#settings-button").click()
    page.locator("#max_tokens").fill("5")
    ask(page)
    finished(page)
    page.get_by_role("button", name="Try again").click()
    page.locator(".turn .note", has_text="temperature 0").wait_for()


def test_the_last_question_can_be_edited(visit, served):
    page = visit()
    bodies = answers(page)
    for number, question in enumerate((QUESTION, "a rose"), 1):
        ask(page, question)
        finished(page, number)
    assert page.get_by_role("button", name="Edit").count() == 1
    page.get_by_role("button", name="Edit").click()
    field = page.locator(".editor textarea")
    assert field.input_value() == "a rose"
    field.fill("topic")
    field.press("Escape")
    assert page.locator(".said").last.text_content() == "a rose"
    page.get_by_role("button", name="Edit").click()
    field.fill("topic model")
    field.press("Enter")
    finished(page, 2)
    assert page.locator(".said").all_text_contents() == [QUESTION, "topic model"]
    assert [message["content"] for message in bodies[2]["messages"]][::2] == [QUESTION, "topic model"]


def test_the_settings_are_sent(visit):
    page = visit()
    bodies = answers(page)
    page.locator("#settings-button").click()
    given = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "repetition_penalty": 1.2}
    for name, value in {**given, "max_tokens": 7, "seed": 3}.items():
        page.locator(f"#{name}").fill(str(value))
    page.locator("#system").fill("a rose")
    ask(page)
    finished(page)
    assert {name: bodies[0][name] for name in given} == pytest.approx(given)
    assert (bodies[0]["max_tokens"], bodies[0]["seed"]) == (7, 3)
    assert bodies[0]["messages"][0] == {"role": "system", "content": "a rose"}
    page.reload()
    page.locator("#settings-button").click()
    assert page.locator("#top_k").input_value() == "20"
    page.get_by_role("button", name="Back to the defaults").click()
    ask(page)
    finished(page, 2)
    assert not {"max_tokens", "seed", *given} & bodies[1].keys()
    assert bodies[1]["messages"][0]["content"] == "a rose"


def test_enter_sends_except_with_shift_or_while_a_character_is_composed(visit):
    page = visit()
    page.locator(".examples").wait_for()
    field = page.locator("#message")
    field.fill("one")
    field.press("Shift+Enter")
    page.keyboard.type("two")
    assert field.input_value() == "one\ntwo"
    field.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    assert page.locator(".turn").count() == 0
    field.press("Enter")
    finished(page)
    assert page.locator(".said").text_content() == "one\ntwo"
    assert field.input_value() == ""


def test_a_conversation_is_kept_until_a_new_one_begins(visit, served):
    page = visit()
    ask(page)
    reply = finished(page)
    page.reload()
    assert page.locator(".said").text_content() == QUESTION
    assert page.locator(".reply").text_content() == reply
    page.locator("#new").click()
    page.reload()
    page.locator(".welcome").wait_for()
    assert page.locator(".turn").count() == 0


REFUSALS = [
    (429, "queue_full", "busy"),
    (503, "stopping", "shutting down"),
    (500, "internal_error", "log says more"),
    (400, "context_length_exceeded", f"context of {CONTEXT} tokens"),
    (413, "body_too_large", f"context of {CONTEXT} tokens"),
    (400, "invalid_value", "refused this: no"),
    (502, None, "refused this: no"),
]


@pytest.mark.parametrize(("status", "code", "words"), REFUSALS)
def test_a_refusal_is_said_in_words_and_can_be_tried_again(visit, status, code, words):
    page = visit(before=lambda page: refuse(page, status, code))
    ask(page)
    assert words in page.locator(".trouble").text_content()
    assert page.locator("#spoken").text_content() in page.locator(".trouble").text_content()
    page.get_by_role("button", name="Try again").click()
    page.locator(".trouble").wait_for(state="detached")
    assert finished(page)


def test_a_lost_connection_is_said_in_words(visit):
    page = visit(locale="zh")
    page.locator(".examples").wait_for()
    page.route(CHAT, lambda route: route.abort(), times=1)
    ask(page)
    assert "连接断开" in page.locator(".trouble").text_content()
    bodies = answers(page)
    ask(page, "a rose")
    assert finished(page, 2)
    assert bodies[0]["messages"] == [user("a rose")]  # the question without a reply is left out


def test_a_reply_that_breaks_off_is_kept(visit):
    piece = {"choices": [{"index": 0, "delta": {"content": "a ro"}, "logprobs": None, "finish_reason": None}]}
    failure = {"error": {"message": "x", "type": "server_error", "param": None, "code": "internal_error"}}

    def cut(page, *events):
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        page.route(CHAT, lambda route: route.fulfill(body=body, content_type="text/event-stream"), times=1)

    page = visit(before=lambda page: cut(page, piece))
    ask(page)
    assert "broke off" in page.locator(".trouble").text_content()
    assert page.locator(".reply").text_content() == "a ro"
    cut(page, piece, failure)
    page.get_by_role("button", name="Try again").click()
    page.locator(".trouble").filter(has_text="log says more").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.locator(".trouble").wait_for(state="detached")
    assert finished(page) != "a ro"


def test_a_server_that_is_not_there_yet_can_be_tried_again(visit):
    page = visit(before=lambda page: page.route("**/config", lambda route: route.abort(), times=1))
    assert "Is it still running?" in page.locator(".trouble").text_content()
    page.get_by_role("button", name="Try again").click()
    page.locator(".welcome p", has_text="parameters").wait_for()
    assert page.locator(".trouble").count() == 0


def test_the_key_is_asked_for_and_kept_for_the_tab(visit):
    with running(api_key="secret", examples=EXAMPLES) as guarded:
        page = visit(guarded.url)
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        page.locator("#key").fill("wrong")
        page.locator("#key").press("Enter")
        page.get_by_text("That was not the key.").wait_for()
        page.locator("#key").fill("secret")
        page.get_by_role("button", name="Use this key").click()
        page.locator(".examples").wait_for()
        ask(page)
        assert finished(page)
        page.reload()
        page.locator("#fine", has_text="M model").wait_for()
        assert not dialog.is_visible()
        assert page.evaluate("Object.keys(localStorage).length") == 0


@pytest.mark.parametrize("odd", ["“secret”", "secret\u200b", "密钥", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_not_taken(visit, odd):
    with running(api_key="secret", examples=EXAMPLES) as guarded:
        page = visit(guarded.url)
        dialog = page.get_by_role("dialog")
        page.locator("#key").fill(odd)
        page.locator("#key").press("Enter")
        page.get_by_text("only printable ASCII characters").wait_for()
        assert dialog.is_visible()
        page.locator("#key").fill("wrong")
        page.locator("#key").press("Enter")
        page.get_by_text("That was not the key.").wait_for()
        assert not page.get_by_text("only printable ASCII characters").is_visible()
        page.evaluate("odd => keep(sessionStorage, 'key', odd)", odd)
        page.reload()
        dialog.wait_for()
        page.locator("#key").fill("secret")
        page.locator("#key").press("Enter")
        page.locator(".examples").wait_for()


def test_without_the_key_the_page_says_so(visit):
    with running(api_key="secret") as guarded:
        page = visit(guarded.url)
        page.get_by_role("button", name="Cancel").click()
        assert "needs a key" in page.locator(".trouble").text_content()
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("dialog").wait_for()


def test_text_is_shown_as_text(visit, served):
    page = visit()
    text = "<img src=x onerror=alert(1)>"
    ask(page, text)
    finished(page)
    assert page.locator(".said").text_content() == text
    assert page.locator("img").count() == 0


def test_a_reply_can_be_copied(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    ask(page)
    reply = finished(page)
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == reply


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_is_larger_than_a_phone(visit, locale):
    page = visit(viewport=PHONE, locale=locale)

    def check():
        too_wide = """() => [...document.querySelectorAll('body *')].filter(each =>
            each.checkVisibility() && !each.closest('.unseen') && each.getBoundingClientRect().right > innerWidth + 0.5
        ).map(each => each.outerHTML.slice(0, 80))"""
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        assert page.evaluate("document.querySelector('#scroll').scrollWidth") <= PHONE["width"]
        assert page.evaluate(too_wide) == []
        too_low = """() => [...document.querySelectorAll('header, .scroll, .composer, .panel')].filter(each =>
            each.getBoundingClientRect().bottom > innerHeight + 0.5).map(each => each.className)"""
        assert page.evaluate(too_low) == []

    page.locator(".examples").wait_for()
    check()
    page.locator("#inside").click()
    for number in (1, 2, 3):  # more than a screen
        ask(page, "x" * 60)
        finished(page, number)
    check()
    page.locator(".token").first.click()
    page.locator(".heat").wait_for()
    check()
    page.locator(".past span").first.click()
    page.locator("#settings-button").click()
    check()
    page.keyboard.press("Escape")
    refuse(page, 429, "queue_full")
    ask(page)
    page.locator(".trouble").wait_for()
    check()


CONTRASTS = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const painted = colours => {
        for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
            .map(part => part / 255).map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    for (const each of document.querySelectorAll("body *")) {
        const hasText = [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()) || each.placeholder;
        if (!hasText || !each.checkVisibility() || each.closest(".unseen, :disabled")) continue;
        const grounds = [];
        for (let one = each; one; one = one.parentElement) grounds.unshift(getComputedStyle(one).backgroundColor);
        const colour = getComputedStyle(each, each.placeholder ? "::placeholder" : null).color;
        const [dark, light] = [painted(grounds), painted([...grounds, colour])].sort((one, other) => one - other);
        found.push([(light + 0.05) / (dark + 0.05), each.outerHTML.slice(0, 100)]);
    }
    return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(visit, scheme):
    page = visit(color_scheme=scheme)

    def check(n_least):
        found = page.evaluate(CONTRASTS)
        assert len(found) > n_least
        assert [each for each in found if each[0] < 4.5] == []

    page.locator(".examples").wait_for()
    check(8)
    page.locator("#inside").click()
    ask(page)
    finished(page)
    assert page.locator(".p4").count() > 1
    page.locator(".token").nth(5).hover()
    check(20)
    page.locator(".token").last.click()
    page.locator(".heat").wait_for()
    check(40)
    refuse(page, 429, "queue_full")
    ask(page)
    page.locator(".trouble").wait_for()
    page.locator("#settings-button").click()
    check(20)


def test_the_colours_can_be_chosen(visit):
    page = visit(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").click()  # light
    page.locator("#theme").click()  # dark
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.locator("#theme").click()  # as the system
    assert page.evaluate(ground) == light
