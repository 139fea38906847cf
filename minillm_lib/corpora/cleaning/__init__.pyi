from .boilerplate import remove_boilerplate as remove_boilerplate
from .duplicates import (
    Duplicate as Duplicate,
)
from .duplicates import (
    SignatureIndex as SignatureIndex,
)
from .duplicates import (
    SimilarPair as SimilarPair,
)
from .duplicates import (
    deduplicate as deduplicate,
)
from .duplicates import (
    find_duplicates as find_duplicates,
)
from .duplicates import (
    jaccard as jaccard,
)
from .duplicates import (
    minhash_signature as minhash_signature,
)
from .duplicates import (
    shingles as shingles,
)
from .duplicates import (
    similar_pairs as similar_pairs,
)
from .duplicates import (
    text_units as text_units,
)
from .filters import (
    GOPHER_LIMITS as GOPHER_LIMITS,
)
from .filters import (
    CorpusFilter as CorpusFilter,
)
from .filters import (
    Edit as Edit,
)
from .filters import (
    Filter as Filter,
)
from .filters import (
    Removal as Removal,
)
from .filters import (
    identify_language as identify_language,
)
from .filters import (
    language_test as language_test,
)
from .filters import (
    length_test as length_test,
)
from .filters import (
    repetition_shares as repetition_shares,
)
from .filters import (
    repetition_test as repetition_test,
)
from .pipeline import (
    DEFAULT_STEPS as DEFAULT_STEPS,
)
from .pipeline import (
    CleaningPipeline as CleaningPipeline,
)
from .pipeline import (
    clean as clean,
)
from .pipeline import (
    clean_corpus as clean_corpus,
)
from .pipeline import (
    decontamination as decontamination,
)
from .pipeline import (
    exact_duplicates as exact_duplicates,
)
from .pipeline import (
    near_duplicates as near_duplicates,
)
from .repair import REPAIRS as REPAIRS
from .repair import repair_text as repair_text
from .repair import undo_mojibake as undo_mojibake
from .report import (
    CleaningReport as CleaningReport,
)
from .report import (
    CleaningStep as CleaningStep,
)
from .report import (
    PipelineReport as PipelineReport,
)
