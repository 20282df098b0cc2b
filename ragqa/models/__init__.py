"""Texts in, numbers out: the embedder and the reranker, on OpenVINO or torch."""
