"""Downloading and writing files such that nobody ever sees half a file; every other subpackage may use this one.

Start with :mod:`~minillm_lib.io.atomic_write`. :class:`Downloader` spaces out its requests, resumes interrupted
downloads and verifies what it receives.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
