"""Small drawings for buttons, in lines on a square of 24."""

LINES = {
    "create": "M12 3v4M12 17v4M3 12h4M17 12h4M6 6l2.5 2.5M15.5 15.5L18 18M18 6l-2.5 2.5M8.5 15.5L6 18",
    "edit": "M4 20l1-4L16.5 4.5a2.1 2.1 0 013 3L8 19l-4 1zM14 7l3 3",
    "explain": "M2 12s3.6-6.5 10-6.5S22 12 22 12s-3.6 6.5-10 6.5S2 12 2 12zM12 9a3 3 0 100 6 3 3 0 000-6z",
    "library": "M5 4v16M9 4v16M13 4.5l5.5 15M4 20h17",
    "dice": "M5 3h14a2 2 0 012 2v14a2 2 0 01-2 2H5a2 2 0 01-2-2V5a2 2 0 012-2zM8.5 8.5v.01M15.5 8.5v.01M12 12v.01M8.5 15.5v.01M15.5 15.5v.01",
    "lock": "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 017 0v3",
    "unlock": "M6 11h12v9H6zM8.5 11V7a3.5 3.5 0 016.8-1.2",
    "light": "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
    "close": "M6 6l12 12M18 6L6 18",
    "download": "M12 4v11M7 11l5 5 5-5M4 20h16",
    "upload": "M12 16V5M7 9l5-5 5 5M4 20h16",
    "trash": "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
    "compare": "M12 3v18M3 6h6v12H3M15 6h6v12h-6",
    "again": "M4 11a8 8 0 0114-4.5L20 9M20 4v5h-5M20 13a8 8 0 01-14 4.5L4 15M4 20v-5h5",
    "star": "M12 3.5l2.6 5.4 5.9.8-4.3 4.1 1 5.9-5.2-2.8-5.2 2.8 1-5.9-4.3-4.1 5.9-.8z",
    "play": "M7 4.5v15l12-7.5z",
    "picture": "M4 4h16v16H4zM4 16l5-5 4 4 3-3 4 4M15.5 8.5v.01",
}


def sign(name: str) -> str:
    """The drawing as SVG, in the colour of the words beside it."""
    return f'<svg class="sign" viewBox="0 0 24 24" aria-hidden="true"><path d="{LINES[name]}"/></svg>'
