"""A question and its hits in, an answer out: quoted, or written by a language model and checked."""
