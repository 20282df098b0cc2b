"""A wiki, its dump or its ZIM file in, pages out: every requested title has an outcome."""
