from .atomic_write import open_atomically as open_atomically
from .atomic_write import write_atomically as write_atomically
from .download import (
    Downloader as Downloader,
)
from .download import (
    DownloadError as DownloadError,
)
from .download import (
    FetchError as FetchError,
)
from .download import (
    default_cache_dir as default_cache_dir,
)
from .parallel import parallel_map as parallel_map
