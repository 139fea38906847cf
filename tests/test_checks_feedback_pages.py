"""The pages for students and instructors in a real browser: light and dark, wide and narrow; nothing runs in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import open_browser

from minillm_lib.checks.feedback import summary_page, write_feedback
from minillm_lib.checks.grade_report import GradeReport, Mark
from minillm_lib.checks.submissions import Submission

NAME = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"
LONG = "`" + "a_very_long_name_that_breaks_nowhere" * 6 + "`"


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, ``rgb(…)``, by the rules of the W3C."""

    def luminance(colour):
        parts = [int(part) / 255 for part in colour.strip("rgb()").split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    marks = (
        Mark("double", "failed", f"{NAME} {LONG}\nThe input was `x = 3`.", 0, 2),
        Mark("triple", "passed", "Right.", 3, 3),
    )
    graded = [
        (Submission(Path("a.ipynb"), NAME, "1"), GradeReport(Path("a.ipynb"), marks, NAME)),
        (Submission(Path("b.ipynb"), LONG, "2"), GradeReport(Path("b.ipynb"), (), NAME, is_graded=False)),
    ]
    write_feedback(folder, graded)
    (folder / "summary.html").write_text(summary_page(graded, [NAME]), encoding="utf-8")
    return sorted(folder.iterdir())


@pytest.mark.slow
def test_pages_can_be_read_in_light_and_dark_and_on_a_telephone_and_run_nothing(pages):
    assert len(pages) == 3
    with open_browser() as browser:
        for scheme in ("light", "dark"):
            for width in (1280, 390):
                context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
                for path in pages:
                    page = context.new_page()
                    page.goto(path.as_uri())
                    assert page.title() != "run"
                    assert page.locator("script, img").count() == 0
                    assert page.evaluate("document.documentElement.scrollWidth") <= width
                    look = "getComputedStyle(document.body)"
                    text, ground = page.evaluate(f"[{look}.color, {look}.backgroundColor]")
                    assert contrast(text, ground) > 7
                    for bar in page.locator(".bar").all():
                        colours = bar.evaluate(
                            "e => [e, e.parentElement].map(x => getComputedStyle(x).backgroundColor)"
                        )
                        assert contrast(*colours) > 3
                    page.close()
                context.close()
