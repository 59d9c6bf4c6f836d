"""Programs for people who run the system: make settings, fill it with a demonstration, try it out."""
