"""Passages in, an index folder out; a question in, the BM25 score and the cosine of every passage out."""
