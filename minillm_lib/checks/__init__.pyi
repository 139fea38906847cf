from .exercise import CheckFailedError as CheckFailedError
from .exercise import Exercise as Exercise
from .grading import GradeReport as GradeReport
from .grading import grade_notebook as grade_notebook
from .registry import check as check
from .result import CheckResult as CheckResult
