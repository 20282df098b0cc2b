"""A retriever, reranker or index of ragqa in, out what others can use: LangChain, LlamaIndex, Haystack, Qdrant, PostgreSQL.

Each module needs the extra of its framework or database, and raises `MissingExtraError` on import without it. Nothing in ragqa
imports this room: databases are found by entry points. No component changes its inputs: rerankers return copies.
"""
