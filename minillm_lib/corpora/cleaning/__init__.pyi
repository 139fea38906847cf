from .boilerplate import remove_boilerplate as remove_boilerplate
from .duplicates import (
    Duplicate as Duplicate,
    SignatureIndex as SignatureIndex,
    SimilarPair as SimilarPair,
    deduplicate as deduplicate,
    find_duplicates as find_duplicates,
    jaccard as jaccard,
    minhash_signature as minhash_signature,
    shingles as shingles,
    similar_pairs as similar_pairs,
    text_units as text_units,
)
from .filters import (
    GOPHER_LIMITS as GOPHER_LIMITS,
    CorpusFilter as CorpusFilter,
    Edit as Edit,
    Filter as Filter,
    Removal as Removal,
    identify_language as identify_language,
    language_test as language_test,
    length_test as length_test,
    repetition_shares as repetition_shares,
    repetition_test as repetition_test,
)
from .pipeline import (
    DEFAULT_STEPS as DEFAULT_STEPS,
    CleaningPipeline as CleaningPipeline,
    clean as clean,
    clean_corpus as clean_corpus,
    decontamination as decontamination,
    exact_duplicates as exact_duplicates,
    near_duplicates as near_duplicates,
)
from .repair import REPAIRS as REPAIRS, repair_text as repair_text, undo_mojibake as undo_mojibake
from .report import (
    CleaningReport as CleaningReport,
    CleaningStep as CleaningStep,
    PipelineReport as PipelineReport,
)
