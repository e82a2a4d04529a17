"""Making the embedded model, and adapters for others: instructions, training, export."""


class TrainingError(Exception):
    """Something that cannot be trained, or trained from; the message says what and why."""
