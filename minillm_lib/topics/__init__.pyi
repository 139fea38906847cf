from .chains import Chain as Chain
from .document_term import BagOfWords as BagOfWords, bag_of_words as bag_of_words
from .evaluation import (
    coherence as coherence,
    completion_perplexity as completion_perplexity,
    convergence_verdict as convergence_verdict,
    left_to_right_perplexity as left_to_right_perplexity,
    r_hat as r_hat,
    split_tokens as split_tokens,
)
from .export import export_model as export_model, to_gensim as to_gensim, to_sklearn as to_sklearn
from .gibbs_lda import GibbsLDA as GibbsLDA
from .gibbs_sampler import GibbsSampler as GibbsSampler, Tokens as Tokens
from .model_selection import TopicCountScore as TopicCountScore, compare_topic_counts as compare_topic_counts
from .neurips_papers import load_neurips as load_neurips
from .periods import (
    DocumentPeriods as DocumentPeriods,
    PeriodShares as PeriodShares,
    document_periods as document_periods,
    topic_shares_over_time as topic_shares_over_time,
)
from .pyldavis import (
    prepare_pyldavis as prepare_pyldavis,
    pyldavis_html as pyldavis_html,
    pyldavis_iframe as pyldavis_iframe,
)
from .seeding import seed_matrix as seed_matrix
from .stability import (
    ChainMatches as ChainMatches,
    match_chains as match_chains,
    match_topics as match_topics,
    topic_overlap as topic_overlap,
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
from .terms import TermRecipe as TermRecipe
from .topic_model import TopicModel as TopicModel
from .words.stop_words import default_stop_words as default_stop_words
from .words.word_files import (
    read_labels as read_labels,
    read_seed_words as read_seed_words,
    read_words as read_words,
    terms_of_seeds as terms_of_seeds,
)
