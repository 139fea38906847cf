"""The ``minillm`` command: :mod:`~minillm_lib.cli.main` puts the subcommands together; one module per group of them."""
