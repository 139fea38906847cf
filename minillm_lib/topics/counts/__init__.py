"""From a stream of documents to counts of terms: checking, numbering words in chunks, counting, choosing, saving.

Start with :func:`~minillm_lib.topics.document_term.bag_of_words`, which puts these parts together.
"""
