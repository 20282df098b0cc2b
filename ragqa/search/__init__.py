"""A question in, hits and an answer out; also explanations of the ranking, follow-up questions and feedback."""
