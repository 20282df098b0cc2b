"""Texts in, numbers out: exported models on OpenVINO or torch, as an embedder and as a reranker."""
