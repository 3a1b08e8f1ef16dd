"""AUTOMATIC1111's web API, for the clients that know it."""
