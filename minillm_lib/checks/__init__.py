"""Answer checks that explain in words what is wrong, for the exercises of the course and for your own assignments.

In a notebook, ``check.NAME(answer)`` tests the learner's function on hidden random inputs::

    >>> from minillm_lib.checks import check
    >>> check.rms_norm(my_function)  # doctest: +SKIP
    rms_norm: failed, 0 of 1 point. You subtract the mean first: that is LayerNorm. …

An instructor adds an exercise by declaring the right answer, usual wrong answers, and inputs that distinguish them::

    from minillm_lib.checks import Exercise, check

    check.register(
        Exercise(
            name="softmax",
            points=2,
            reference=lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
            inputs=lambda rng: (rng.normal(size=(3, 5)),),
            misconceptions={
                lambda x: np.exp(x) / np.exp(x).sum(): "You divide by the sum over all rows; each row has its own.",
            },
        )
    )
    check.softmax(softmax)

:class:`~minillm_lib.checks.exercise.Exercise` lists all options. :func:`grade_notebook` and ``minillm grade`` grade
complete notebooks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
