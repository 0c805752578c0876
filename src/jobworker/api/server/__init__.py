"""The socket, TLS and HTTP under the API."""
