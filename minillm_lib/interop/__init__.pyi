from .gguf import export_gguf as export_gguf
from .minimind import load_minimind as load_minimind, save_minimind as save_minimind
