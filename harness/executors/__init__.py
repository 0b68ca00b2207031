"""Define how steps reach the machines that run them."""
