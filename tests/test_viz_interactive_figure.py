"""A figure with sliders shows what they are set to."""

from __future__ import annotations

from ipywidgets import IntSlider
from matplotlib import pyplot as plt

from minillm_lib.viz import interactive_figure


def test_it_is_drawn_with_the_values_of_the_controls_and_again_when_one_is_moved():
    seen = []

    def draw(m, n):
        seen.append((m, n))
        figure, axis = plt.subplots(figsize=(1, 1))
        axis.plot([m, n])
        return figure

    controls = {"m": IntSlider(3), "n": IntSlider(1)}
    box = interactive_figure(draw, controls, max_width=300)
    image = box.children[-1]
    assert box.children[:-1] == tuple(controls.values())
    first = bytes(image.value)
    assert first.startswith(b"\x89PNG")
    controls["m"].value = 5
    assert seen == [(3, 1), (5, 1)]
    assert bytes(image.value) != first
    assert plt.get_fignums() == [], "a figure that stays open is shown twice"
