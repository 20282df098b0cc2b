"""Markup in, readable text out: wikitext and Markdown become pages; pages become passages, sentences, words and questions."""
