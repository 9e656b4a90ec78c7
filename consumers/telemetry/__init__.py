"""What a worker tells on /metrics."""
