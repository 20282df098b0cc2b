"""Bytes in, files and folders out that a crash leaves whole: replaced at once, with checksums, in generations."""
