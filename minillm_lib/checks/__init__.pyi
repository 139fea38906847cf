from .exercise import CheckFailedError as CheckFailedError, Exercise as Exercise
from .grade_report import GradeReport as GradeReport, Mark as Mark
from .grading import grade_notebook as grade_notebook
from .progress_table import Progress as Progress, progress as progress
from .registry import check as check
from .result import CheckResult as CheckResult, Hint as Hint
from .stored import register_stored as register_stored
