"""What tracks mean: objects come and go, enter and leave zones, cross lines. See `engine`."""
