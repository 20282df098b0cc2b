"""Markup in, readable text out: wikitext and documents become pages; pages become passages, sentences, words and questions."""
