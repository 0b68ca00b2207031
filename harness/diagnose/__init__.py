"""Check labelled texts and teachers before distilling."""
