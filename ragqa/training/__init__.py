"""Passages and judged questions in, question-passage pairs, trained models and their cards out."""
