"""Doors of the studio: HTTP for programs of all kinds, and MCP for assistants."""
