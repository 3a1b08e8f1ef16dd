"""OpenAI's images API, for the clients that know it."""
