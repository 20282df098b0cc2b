"""The processes of a training that `accelerate launch` or `torchrun` started, one for each GPU."""

import os


def process_count() -> int:
    """Return the number of processes; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return True in the process that writes files and prints."""
    return os.environ.get("RANK", "0") == "0"
