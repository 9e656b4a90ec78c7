"""What the service costs, in CPU-seconds and as ratios within one run. Never part of the tests."""
