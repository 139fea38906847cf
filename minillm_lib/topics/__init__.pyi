from .document_term import BagOfWords as BagOfWords
from .document_term import bag_of_words as bag_of_words
from .evaluation import (
    coherence as coherence,
)
from .evaluation import (
    completion_perplexity as completion_perplexity,
)
from .evaluation import (
    left_to_right_perplexity as left_to_right_perplexity,
)
from .evaluation import (
    r_hat as r_hat,
)
from .evaluation import (
    split_tokens as split_tokens,
)
from .gibbs_lda import Chain as Chain
from .gibbs_lda import GibbsLDA as GibbsLDA
from .gibbs_sampler import GibbsSampler as GibbsSampler
from .gibbs_sampler import Tokens as Tokens
from .model_selection import TopicCountScore as TopicCountScore
from .model_selection import compare_topic_counts as compare_topic_counts
from .neurips_papers import load_neurips as load_neurips
from .pyldavis import (
    prepare_pyldavis as prepare_pyldavis,
)
from .pyldavis import (
    pyldavis_html as pyldavis_html,
)
from .pyldavis import (
    pyldavis_iframe as pyldavis_iframe,
)
from .summary import (
    TopicSummary as TopicSummary,
)
from .summary import (
    relevance as relevance,
)
from .summary import (
    summarize_topics as summarize_topics,
)
from .summary import (
    top_terms as top_terms,
)
from .summary import (
    topic_shares as topic_shares,
)
from .summary import (
    topic_shares_by_year as topic_shares_by_year,
)
from .summary import (
    topic_similarity as topic_similarity,
)
from .summary import (
    topic_table as topic_table,
)
from .summary import (
    typical_documents as typical_documents,
)
from .terms import TermRecipe as TermRecipe
from .terms import default_stop_words as default_stop_words
