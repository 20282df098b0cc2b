"""A retriever or reranker of ragqa in, a component of another framework out: LangChain, LlamaIndex, Haystack.

Each module needs the extra of its framework, and raises `MissingExtraError` on import without it. Nothing in ragqa imports this
room. No component changes its inputs: rerankers return copies.
"""
