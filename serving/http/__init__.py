"""The HTTP interface: connections, routes, errors."""
