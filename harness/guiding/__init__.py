"""From a file of texts to a model or a diagnosis, for people who write no suite."""
