"""Opinions in six languages: the grammar, a lexicon for each language, and the corpora made with them."""
