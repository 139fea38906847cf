"""Reading from the network and writing to disk, so that nobody ever sees half a file; what every other room may use.

Start with :mod:`~minillm_lib.io.atomic_write`; :class:`Downloader` fetches politely, resumes and verifies.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
