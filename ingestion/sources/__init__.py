"""Where records come from. A source yields batches and is told when one is durable."""
