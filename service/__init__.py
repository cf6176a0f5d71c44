"""The one place where everything meets: database, queue, web, terminal."""
