from .document_term import BagOfWords as BagOfWords, bag_of_words as bag_of_words
from .evaluation import (
    coherence as coherence,
    completion_perplexity as completion_perplexity,
    left_to_right_perplexity as left_to_right_perplexity,
    r_hat as r_hat,
    split_tokens as split_tokens,
)
from .gibbs_lda import Chain as Chain, GibbsLDA as GibbsLDA
from .gibbs_sampler import GibbsSampler as GibbsSampler, Tokens as Tokens
from .model_selection import TopicCountScore as TopicCountScore, compare_topic_counts as compare_topic_counts
from .neurips_papers import load_neurips as load_neurips
from .pyldavis import (
    prepare_pyldavis as prepare_pyldavis,
    pyldavis_html as pyldavis_html,
    pyldavis_iframe as pyldavis_iframe,
)
from .summary import (
    TopicSummary as TopicSummary,
    relevance as relevance,
    summarize_topics as summarize_topics,
    top_terms as top_terms,
    topic_shares as topic_shares,
    topic_shares_by_year as topic_shares_by_year,
    topic_similarity as topic_similarity,
    topic_table as topic_table,
    typical_documents as typical_documents,
)
from .terms import TermRecipe as TermRecipe, default_stop_words as default_stop_words
