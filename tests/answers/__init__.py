"""Answers to the exercises as learners write them, one module per notebook.

``RIGHT`` has for each exercise answers that must pass, some of them written in an unusual way. ``WRONG`` has answers
that must not, each with a part of the message that it is to get. Learners' code is as it is: it need not be good.
"""
