"""Passages in, an index folder out; a question in, the score of every passage out: BM25 and vectors."""
