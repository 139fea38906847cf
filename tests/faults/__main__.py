"""``make faults``, or with the folder ``tests`` in ``PYTHONPATH``: ``python -m faults --help``."""

import os
import sys

if __name__ == "__main__":
    # Before numpy and torch are loaded: a process with threads must not be forked.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        os.environ[name] = "1"
    from faults.command import main

    sys.exit(main())
