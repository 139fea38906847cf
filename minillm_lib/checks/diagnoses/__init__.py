"""What went wrong in general: start with :func:`~minillm_lib.checks.diagnoses.general.diagnose`.

A diagnosis is a sentence that holds for all cases that failed, whatever the exercise. It is looked for when none of the
mistakes that the exercise declares fits.
"""
