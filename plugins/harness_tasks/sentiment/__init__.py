"""Generated corpora of opinions in six languages: a grammar, a lexicon for each language, and the corpora."""
