"""What is missing or misconfigured on this machine and in the services, and what to do about each."""
