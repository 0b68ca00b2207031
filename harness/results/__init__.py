"""What was measured: records of cells, and what is counted, tested and told of them."""
