"""Folders that survive: sealed, in generations, mapped into memory."""
