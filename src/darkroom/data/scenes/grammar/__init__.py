"""Plain English for scenes: words and their forms, noun phrases, relations, and the setting around them."""
