"""The report of runs: one page, nothing to load, and every figure on it the run's own."""

from __future__ import annotations

import math
import re

import pytest
from browser import open_browser, visit
from course_build import ROOT
from quick_runs import quick_pretraining, quick_sft, write_conversations, write_documents
from recorded_run import TOKENS_PER_STEP, changed, law, recorded_run, write_run

from minillm_lib.training.stages import pretrain, sft
from minillm_lib.viz.lda_report import ReportError
from minillm_lib.viz.original_figures import OriginalFigures
from minillm_lib.viz.run_report import (
    comparison_rows,
    run_report_html,
    scaling_sentences,
    summarize_run,
    summarize_runs,
    write_run_report,
)

ORIGINAL = ROOT / "results" / "26m" / "original.json"
HOSTILE = "</td></script><script>document.body.remove()</script>"


@pytest.fixture(scope="module")
def real_runs(tmp_path_factory):
    """A model that was pretrained and fine-tuned, each in a second."""
    folder = tmp_path_factory.mktemp("real")
    config = quick_pretraining(folder, write_documents(folder / "documents.jsonl"), run="pretrained")
    conversations = write_conversations(folder / "conversations.jsonl")
    return (
        pretrain(config, progress=False),
        sft(quick_sft(folder, config.output, conversations, run="tuned"), progress=False),
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run long enough for a law, and a fine-tuning."""
    folder = tmp_path_factory.mktemp("recorded")
    long = changed(
        recorded_run(3000, every=100), lambda each: {"loss": float(law(each["tokens"]))}, "evaluation"
    )
    tuning = changed(recorded_run(100, stage="sft"), lambda each: {"loss": each["loss"] - 3})
    return write_run(folder / "pretrain", long), write_run(folder / "sft", tuning)


def test_the_figures_of_real_runs_are_on_the_page(real_runs):
    page = run_report_html(real_runs)
    for run in real_runs:
        assert f"{run.best['bits_per_byte']:.3f} bits per byte" in page
        assert run.of_kind("sample")[-1]["prompt"] in page
    assert "Pretraining: pretrained" in page
    assert "Fine-tuning: tuned" in page
    assert "unigram" in page  # the token files are still there
    assert page.count("data:image/svg+xml;base64,") >= 8
    assert "needs 4 evaluations after the warm-up; there are" in page


def test_the_page_asks_nothing_of_the_network_and_fits_its_window(recorded, tmp_path):
    path = write_run_report(tmp_path / "report.html", recorded)
    with open_browser() as browser:
        for width in (1280, 400):
            with visit(browser, path, width=width, offline=True) as opened:
                assert opened.page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
                assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert opened.requests_to_outside == []
                assert opened.errors == []


def test_the_original_stands_beside_ours(recorded):
    summaries = summarize_runs(recorded)
    figures = OriginalFigures.of(ORIGINAL)
    rows = {what: (original, ours) for what, original, ours in comparison_rows(summaries, figures)}
    best = summaries[0].best
    assert rows["Pretraining: perplexity"] == ("1600 → 12.2", f"6,529 → {best['perplexity']:,.3g}")
    assert rows["Pretraining: optimizer steps"] == ("1,300", "3,000 of 3,000")
    assert rows["Pretraining: tokens"] == ("not given", f"{3000 * TOKENS_PER_STEP:,}")
    assert rows["Fine-tuning: cross-entropy (nats per token)"][0] == "2.3 → 1.70"
    assert float(rows["Pretraining: hours of training"][1]) == pytest.approx(3000 * 3.5 / 3600, rel=0.01)


def test_the_page_compares_with_an_original_only_if_asked(recorded):
    page = run_report_html(recorded, original=ORIGINAL)
    assert "Comparison with the original" in page
    assert "stated in the report “LDA yet? Transformer is All You Need — Mini-LLM”" in page
    assert "1600 → 12.2" in page
    alone = run_report_html(recorded)
    assert "original" not in alone
    assert "1600" not in alone
    assert "Pretraining: perplexity</td><td" in alone
    assert {original for _, original, _ in comparison_rows(summarize_runs(recorded))} == {""}


def test_a_stage_that_the_original_lacks_has_no_given_figures(recorded):
    figures = OriginalFigures.model_validate({"title": "x", "stages": {"sft": {"steps": "9"}}})
    rows = {what: original for what, original, _ in comparison_rows(summarize_runs(recorded), figures)}
    assert rows.pop("Fine-tuning: optimizer steps") == "9"
    assert set(rows.values()) == {"not given"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "this is not JSON"),
        ('{"title": "x"}', "the key stages is missing"),
        ('{"title": "x", "stages": {}}', "stages is {}"),
        ('{"title": "x", "stages": {"train": {}}}', "the key stages.train is unknown"),
        ('{"title": "x", "stages": {"sft": {"los": "1"}}}', "the key stages.sft.los is unknown"),
        ('{"title": "x", "stages": {"sft": {"loss": 1.5}}}', "stages.sft.loss is 1.5: input should be a valid string"),
    ],
)  # fmt: skip
def test_a_malformed_original_is_named_with_its_file_and_key(recorded, tmp_path, content, problem):
    path = tmp_path / "original.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}: {problem}")):
        write_run_report(tmp_path / "report.html", recorded, original=path)
    with pytest.raises(
        ValueError, match=r"cannot read the original's figures from .*none\.json: No such file"
    ):
        OriginalFigures.of(tmp_path / "none.json")
    assert not (tmp_path / "report.html").exists()


def test_without_a_target_the_law_names_no_perplexity(recorded):
    sentences = list(scaling_sentences(summarize_run(recorded[0]), None))
    assert len(sentences) == 1
    assert sentences[0].startswith("loss = 2.00 + 1.90")
    page = run_report_html(recorded[:1])
    assert "By this law" not in page
    assert "loss = 2.00 + 1.90" in page


def test_the_law_is_told_in_tokens_and_hours(recorded):
    summary = summarize_run(recorded[0])
    sentences = " ".join(scaling_sentences(summary, 12.2))
    assert "loss = 2.00 + 1.90 · (tokens / 10⁶)^−0.400, fitted to 30 evaluations" in sentences
    tokens = 1e6 * (1.9 / (math.log(12.2) - 2.0)) ** 2.5
    assert f"perplexity 12.2 is reached after {tokens / 1e6:.3g} M tokens" in sentences
    hours = tokens / summary.tokens_per_second / 3600
    assert f"{hours:.1f} hours at the speed of this run" in sentences
    minutes = tokens * 174e6 / 400e12 / 60
    assert f"{minutes:.1f} minutes on a GPU that sustains 400 TFLOP/s (assumed" in sentences
    assert "The run itself reached" not in sentences
    assert "The run itself reached perplexity 20 at" in " ".join(scaling_sentences(summary, 20))
    assert "is never reached" in " ".join(scaling_sentences(summary, 5))


def test_a_law_that_cannot_be_trusted_says_so(tmp_path):
    run = write_run(tmp_path / "short", recorded_run(400))
    page = run_report_html([run], target_perplexity=12.2)
    assert "Do not trust this number:" in page
    assert "times as far as the run has come" in page
    alone = run_report_html([run])
    assert "Do not trust this law:" in alone
    assert "times as far as the run has come" not in alone


def test_a_long_run_shows_samples_of_a_few_steps_the_last_among_them(recorded):
    page = run_report_html(recorded[:1])
    shown = [int(step) for step in re.findall(r"shape, after (\d+) steps", page)]
    assert len(shown) == 6
    assert shown[0] == 0
    assert shown[-1] == 3000


def test_what_a_model_wrote_is_only_text(tmp_path):
    records = changed(recorded_run(60), lambda _: {"text": HOSTILE, "prompt": HOSTILE}, "sample")
    page = run_report_html([write_run(tmp_path / "run", records)])
    assert HOSTILE not in page
    assert "&lt;/td&gt;&lt;/script&gt;" in page


def test_there_is_nothing_to_report_without_a_run_or_an_evaluation(tmp_path):
    with pytest.raises(ValueError, match="there is no run to report on"):
        run_report_html([])
    records = [each for each in recorded_run(30) if each["kind"] != "evaluation"]
    with pytest.raises(ValueError, match="mine: a report needs at least one step and one evaluation"):
        run_report_html([write_run(tmp_path / "mine", records)])


def test_a_folder_is_no_place_for_a_page(recorded, tmp_path):
    with pytest.raises(ReportError, match="it is a folder"):
        write_run_report(tmp_path, recorded)


def test_on_a_telephone_both_columns_of_figures_are_on_the_screen_and_text_is_not_scaled(recorded, tmp_path):
    path = write_run_report(tmp_path / "report.html", recorded, original=ORIGINAL, target_perplexity=12.2)
    with open_browser() as browser:
        for width in (390, 800, 1280):
            with visit(browser, path, width=width) as opened:
                scales = opened.page.evaluate(
                    "[...document.images].map(image => image.width / image.naturalWidth)"
                )
                assert all(0.97 < scale < 1.03 for scale in scales), (width, scales)
                lost = opened.page.evaluate(
                    """[...document.querySelectorAll("td")].filter(cell => {
                         const box = cell.getBoundingClientRect();
                         return cell.textContent.trim() && (box.right > innerWidth || box.width < 20);
                       }).map(cell => cell.textContent)"""
                )
                assert lost == []


def test_the_last_printed_page_is_not_empty(recorded, tmp_path):
    pdfium = pytest.importorskip("pypdfium2")
    path = write_run_report(tmp_path / "report.html", recorded)
    with open_browser() as browser, visit(browser, path) as opened:
        pages = pdfium.PdfDocument(opened.page.pdf(format="A4"))
    assert all(
        len(pages[number].get_textpage().get_text_range().split()) > 10 for number in range(len(pages))
    )
