"""Redis, written behind Kafka: results, events and previews, and what is repaired from the log."""
