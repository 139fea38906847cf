from .harness_model import HarnessModel as HarnessModel
from .models import open_model as open_model
from .own_model import (
    OwnModelFigures as OwnModelFigures,
    bits_per_byte as bits_per_byte,
    examine_own_model as examine_own_model,
    leaked_documents as leaked_documents,
    own_questions as own_questions,
)
from .quiz import QuizQuestion as QuizQuestion, quiz_questions as quiz_questions
from .results import Evaluation as Evaluation, ModelScores as ModelScores, Score as Score
from .running import evaluate as evaluate
from .statistics import wilson_interval as wilson_interval
from .tasks import LOCAL_TASKS as LOCAL_TASKS
from .texts import score_texts as score_texts
