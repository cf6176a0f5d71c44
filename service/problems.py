"""What whoever runs the installation can mend."""


class Mendable(RuntimeError):
    """The message says what is wrong and how to mend it; the terminal shows it without a traceback."""
