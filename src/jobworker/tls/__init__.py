"""Keys and certificates; nothing of HTTP."""
