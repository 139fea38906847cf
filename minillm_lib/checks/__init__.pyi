from .exercise import CheckFailedError as CheckFailedError, Exercise as Exercise
from .grading import GradeReport as GradeReport, grade_notebook as grade_notebook
from .registry import check as check
from .result import CheckResult as CheckResult
