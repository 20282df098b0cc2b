"""Bytes in, files and folders out that survive crashes: replaced atomically, with checksums, in generations."""
