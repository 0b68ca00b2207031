"""Export trained modules as files that run without torch; importing this does not import torch."""
