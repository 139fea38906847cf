"""From a text to its words, in any language: splitting, segmenters, lemmas, stop words, phrases.

Start with :func:`~minillm_lib.topics.words.splitting.split_words`. What puts these parts together is
:class:`~minillm_lib.topics.terms.TermRecipe`.
"""
