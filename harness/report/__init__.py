"""Show results: tables, advice, cards, LaTeX, and the HTML report."""
