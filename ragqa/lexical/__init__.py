"""From texts to terms, and from terms to the passages that hold them."""
