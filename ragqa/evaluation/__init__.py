"""A ranking and judged questions in, metrics with intervals out."""
