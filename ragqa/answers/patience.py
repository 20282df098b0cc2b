"""How long a language model is waited for, in seconds."""

FIRST_WORD_S = 120.0  # a model on a CPU reads the passages first
BETWEEN_WORDS_S = 30.0
CONNECT_S = 10.0
WHOLE = 4  # a whole answer may take this many times as long as the first word
LOADING_POLL_S = 0.5  # how often a server that still loads its model is asked again
