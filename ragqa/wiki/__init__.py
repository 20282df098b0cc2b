"""A wiki or its dump in, pages out: every requested title has an outcome."""
