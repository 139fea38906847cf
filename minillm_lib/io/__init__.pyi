from .atomic_write import open_atomically as open_atomically, write_atomically as write_atomically
from .cache import default_cache_dir as default_cache_dir
from .checksums import ChecksumError as ChecksumError, write_checksums as write_checksums
from .download import Downloader as Downloader
from .fetch_errors import DownloadError as DownloadError, FetchError as FetchError
from .optional import MissingPackageError as MissingPackageError
from .parallel import parallel_map as parallel_map
