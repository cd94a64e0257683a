"""The subcommands of ``python -m training``."""
