"""The command line: one command for each step of the pipeline, parsing and printing only."""

from ragqa.cli.run import main

__all__ = ["main"]
