"""A question and its hits in, an answer out: quoted from a hit, or written by a language model and checked."""
