from .setup import Pieces as Pieces, setup as setup
