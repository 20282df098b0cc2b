"""A question in, hits and an answer out, with the reasons for the ranking and the questions that follow."""
