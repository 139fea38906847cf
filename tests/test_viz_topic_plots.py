"""The figures show the numbers that they are given, in any script, and leave matplotlib as it was."""

from __future__ import annotations

import io
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from known_model import known_model
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from minillm_lib.topics.model_selection import TopicCountScore
from minillm_lib.topics.summary import summarize_topics
from minillm_lib.viz import style
from minillm_lib.viz.topic_plots import (
    plot_convergence,
    plot_top_terms,
    plot_topic_counts,
    plot_topic_shares,
    plot_topic_similarity,
)

SWEEPS = np.arange(1, 21)
CHAINS = [-np.geomspace(9, 7, 20), -np.geomspace(9, 6.5, 20), -np.geomspace(9, 8, 20)]


def summaries(n_topics: int = 4, **options):
    return summarize_topics(*known_model(n_topics, **options))


def draw(figure: Figure) -> None:
    figure.savefig(io.BytesIO(), format="png")


def all_figures(n_topics: int = 4, **options) -> list[Figure]:
    found = summaries(n_topics, **options)
    shares = np.random.default_rng(0).dirichlet(np.ones(n_topics), 5)
    return [
        plot_convergence(SWEEPS, CHAINS, burn_in=10),
        plot_topic_shares(range(2013, 2018), shares, found),
        plot_topic_similarity(np.full((n_topics, n_topics), 0.3), found),
        plot_top_terms(found),
    ]


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(matplotlib.text.Text)}


def test_every_chain_is_drawn_and_the_best_one_is_blue():
    ax = plot_convergence(SWEEPS, CHAINS, best=1, burn_in=10).axes[0]
    curves = [line for line in ax.lines if len(line.get_xdata()) == 20]
    for curve, chain in zip(curves, CHAINS, strict=True):
        np.testing.assert_array_equal(curve.get_ydata(), chain)
    assert [to_hex(curve.get_color()) == style.BLUE for curve in curves] == [False, True, False]
    assert ax.get_xlabel() == "sweep"
    assert "nats" in ax.get_ylabel()


def test_no_chain_is_refused():
    with pytest.raises(ValueError, match="no chain"):
        plot_convergence(SWEEPS, [])


def test_each_panel_follows_its_own_topic():
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 5)
    found = summaries()
    figure = plot_topic_shares(range(2013, 2018), shares, found)
    assert len(figure.axes) == 4
    for panel, summary in zip(figure.axes, found, strict=True):
        [own] = [line for line in panel.lines if to_hex(line.get_color()) == style.BLUE]
        np.testing.assert_array_equal(own.get_ydata(), shares[:, summary.topic])
        assert panel.get_title(loc="left").startswith(f"{summary.topic}: ")
    assert {"year", "share of tokens"} <= texts(figure)


@pytest.mark.parametrize("shape", [(0, 4), (5, 3)])
def test_shares_of_other_years_or_topics_are_refused(shape):
    with pytest.raises(ValueError, match=rf"shares has shape \({shape[0]}, {shape[1]}\)"):
        plot_topic_shares(range(2013, 2013 + shape[0]), np.zeros(shape), summaries())


def test_similar_topics_stand_side_by_side_with_their_own_numbers():
    group = np.arange(6) % 2
    similarity = np.where(group[:, None] == group, 0.8, 0.1) + 0.01 * np.add.outer(range(6), range(6))
    figure = plot_topic_similarity(similarity, summaries(6))
    ax = figure.axes[0]
    order = [int(label.get_text()) for label in ax.get_xticklabels()]
    assert sorted(order) == list(range(6))
    assert len(set(group[order[:3]])) == len(set(group[order[3:]])) == 1
    shown = {(int(text.get_position()[1]), int(text.get_position()[0])): text.get_text() for text in ax.texts}
    assert shown == {
        (row, column): f"{similarity[order[row], order[column]]:.2f}"
        for row in range(6)
        for column in range(6)
        if row != column
    }
    assert ax.get_xlabel() == ax.get_ylabel() == "topic"


def test_bars_are_as_long_as_the_probabilities_with_the_most_relevant_term_on_top():
    found = summaries()
    figure = plot_top_terms(found)
    for panel, summary in zip(figure.axes, found, strict=True):
        assert tuple(bar.get_width() for bar in panel.patches) == summary.probabilities
        assert tuple(label.get_text() for label in panel.get_yticklabels()) == summary.terms
        assert panel.yaxis_inverted()


@pytest.mark.parametrize("n_topics", [1, 2, 7, 20])
def test_any_number_of_topics_can_be_drawn(n_topics):
    for figure in all_figures(n_topics):
        draw(figure)


def test_letters_are_at_least_nine_pixels_high_in_a_column_of_640():
    scores = [TopicCountScore(5, 900.0, 9.0, 0.1, 0.02, 0.9, 0.05)]
    for figure in [*all_figures(10), plot_topic_counts(scores)]:
        draw(figure)
        smallest = min(
            text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()
        )
        assert smallest / 72 * 640 / figure.get_figwidth() >= 9


def test_a_title_is_clear_of_the_row_above():
    _, shares, _, terms = all_figures(10)
    for figure in (shares, terms):
        draw(figure)
        for above, panel in zip(figure.axes, figure.axes[3:], strict=False):
            assert above.get_tightbbox().y0 - panel.get_tightbbox().y1 > 0.1 * figure.dpi


def test_each_column_of_panels_has_its_years():
    figure = all_figures(10)[1]
    assert [panel.xaxis.get_tick_params()["labelbottom"] for panel in figure.axes] == 7 * [False] + 3 * [True]


def test_given_axes_are_drawn_on():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plot_convergence(SWEEPS, CHAINS, ax=left) is figure
    assert plot_topic_similarity(np.eye(4), summaries(), ax=right) is figure
    assert left.lines
    assert right.texts


def test_matplotlib_is_left_as_it_was():
    before = dict(matplotlib.rcParams)
    for figure in all_figures():
        draw(figure)
    assert plt.get_fignums() == []
    assert dict(matplotlib.rcParams) == before


def test_a_notebook_can_show_a_figure():
    assert plot_convergence(SWEEPS, CHAINS)._repr_png_().startswith(b"\x89PNG")


def test_a_dollar_sign_in_a_term_is_drawn_as_it_is():
    vocabulary = [f"$x_{i}^{{$" for i in range(60)]
    for figure in all_figures(vocabulary=vocabulary):
        draw(figure)


@pytest.mark.parametrize("font_is_installed", [True, False])
def test_chinese_terms_are_drawn_without_a_warning(monkeypatch, font_is_installed):
    families = style.font_families()
    if not font_is_installed:
        monkeypatch.setattr(style, "font_families", lambda: families[:1])
    elif len(families) == 1:
        pytest.skip("no font with Chinese characters is installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in all_figures(vocabulary=[f"主题{i}" for i in range(60)]):
            draw(figure)
            figure.savefig(io.BytesIO(), format="svg")


def test_a_font_with_chinese_characters_draws_them_as_different_glyphs():
    if len(style.font_families()) == 1:
        pytest.skip("no font with Chinese characters is installed")
    images = []
    for character in "主题":
        figure = style.StyledFigure(1, 1)
        with style.style():
            figure.text(0.3, 0.3, character, fontsize=30)
        images.append(figure._repr_png_())
    assert images[0] != images[1]


def test_points_with_intervals_are_joined_only_where_no_period_is_missing():
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 3)
    figure = plot_topic_shares([2001, 2002, 2005], shares, summaries(), low=shares / 2, high=2 * shares)
    for k, panel in enumerate(figure.axes):
        [own] = [line for line in panel.lines if to_hex(line.get_color()) == style.BLUE]
        x, y = own.get_data()
        assert np.isnan(y).tolist() == [False, False, True, False]
        np.testing.assert_array_equal(x[~np.isnan(y)], [2001, 2002, 2005])
        [bars] = [each for each in panel.collections if len(each.get_segments()) == 3]
        ends = [segment[:, 1] for segment in bars.get_segments()]
        np.testing.assert_allclose(ends, np.stack([shares[:, k] / 2, 2 * shares[:, k]], axis=1))


def test_months_are_named():
    months = np.array(["2005-11", "2005-12", "2006-01"], dtype="datetime64[M]")
    figure = plot_topic_shares(months, np.full((3, 4), 0.25), summaries())
    assert [label.get_text() for label in figure.axes[-1].get_xticklabels()] == [
        "2005-11",
        "2005-12",
        "2006-01",
    ]


def test_each_measure_of_the_compared_numbers_of_topics_has_a_panel_with_error_bars():
    scores = [
        TopicCountScore(10, 800.0, 8.0, 0.12, 0.01, 0.7, 0.03),
        TopicCountScore(5, 900.0, 9.0, 0.1, 0.02, 0.9, 0.05),
    ]
    figure = plot_topic_counts(scores)
    drawn = [panel.containers[0] for panel in figure.axes]
    assert [bar.lines[0].get_ydata().tolist() for bar in drawn] == [[900, 800], [0.1, 0.12], [0.9, 0.7]]
    assert [bar.lines[0].get_linestyle() for bar in drawn] == ["None"] * 3
    [segments] = [bar.lines[2][0].get_segments() for bar in drawn[:1]]
    np.testing.assert_allclose([segment[:, 1] for segment in segments], [[891, 909], [792, 808]])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["5", "10"]
    with pytest.raises(ValueError, match="there are no scores"):
        plot_topic_counts([])
