"""``python -m minillm_lib`` is ``minillm``; ``torchrun -m minillm_lib`` runs it in several processes."""

from minillm_lib.cli.main import main

if __name__ == "__main__":
    main()
