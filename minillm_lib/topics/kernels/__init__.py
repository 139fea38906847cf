"""The inner loops of Gibbs sampling for LDA, compiled with numba.

Start with :func:`~minillm_lib.topics.kernels.dense.sweep`: the algorithm in thirty plain lines. The two other sweeps
draw from the same distribution and are faster: :mod:`~minillm_lib.topics.kernels.register` for up to 32 topics,
:mod:`~minillm_lib.topics.kernels.sparse` for many.

The notation is that of Griffiths & Steyvers (2004). Token *i* has the term ``terms[i]`` and is assigned to topic
``topics[i]``. Document *d* holds the tokens ``bounds[d, 0]:bounds[d, -1]``. A sweep resamples those of one share of the
terms, ``bounds[d, share]:bounds[d, share + 1]``, and with a single share all of them. The topics of the document's
other tokens are counted but do not change.

Every function releases the GIL, so that threads run in parallel, and draws from its own generator, whose state is one
``uint64`` in an array of length one.
"""
