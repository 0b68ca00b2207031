"""Train torch models. Importing this package does not import torch."""
