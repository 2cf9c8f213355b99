"""Who may ask: API keys, signed tokens, and how often."""
