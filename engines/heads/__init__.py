"""What a network's outputs mean, one module per layout."""
