"""What is told of each request: the audit log and traces, off the way of the answer."""
