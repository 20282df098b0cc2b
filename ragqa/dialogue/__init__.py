"""Questions that refer to what was said before, and answers in a model's words."""
