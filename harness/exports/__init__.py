"""Export trained modules as files that run without torch. Importing this package does not import torch."""
